#include <ATen/core/VariableHooksInterface.h>
#include <torch/torch.h>

#include "tests/support/fake_gpu/torch_parts.h"

namespace atelier::tests {
namespace {

using at::TensorBase;

// LibTorch lets parameters move between hosts and GPUs by set_data(), but knows that of no device
// it has not heard of. All else goes where it went before.
class MovingHooks final : public at::impl::VariableHooksInterface {
 public:
  explicit MovingHooks(at::impl::VariableHooksInterface& usual) : usual_(usual) {}

  void set_data(const TensorBase& tensor, const TensorBase& data) const override {
    if (tensor.device().type() == data.device().type()) return usual_.set_data(tensor, data);
    tensor.unsafeGetTensorImpl()->shallow_copy_from(data.getIntrusivePtr());
  }

  TensorBase tensor_data(const TensorBase& t) const override { return usual_.tensor_data(t); }
  TensorBase variable_data(const TensorBase& t) const override { return usual_.variable_data(t); }
  const std::shared_ptr<torch::autograd::Node>& grad_fn(const TensorBase& t) const override {
    return usual_.grad_fn(t);
  }
  unsigned _register_hook(const TensorBase& t,
                          std::function<TensorBase(const TensorBase&)> hook) const override {
    return usual_._register_hook(t, std::move(hook));
  }
  void remove_hook(const TensorBase& t, unsigned position) const override {
    usual_.remove_hook(t, position);
  }
  bool is_view(const TensorBase& t) const override { return usual_.is_view(t); }
  const TensorBase& base(const TensorBase& t) const override { return usual_.base(t); }
  const std::string& name(const TensorBase& t) const override { return usual_.name(t); }
  bool is_leaf(const TensorBase& t) const override { return usual_.is_leaf(t); }
  std::int64_t output_nr(const TensorBase& t) const override { return usual_.output_nr(t); }
  TensorBase data(const TensorBase& t) const override { return usual_.data(t); }
  std::int64_t _version(const TensorBase& t) const override { return usual_._version(t); }
  void retain_grad(const TensorBase& t) const override { usual_.retain_grad(t); }
  bool retains_grad(const TensorBase& t) const override { return usual_.retains_grad(t); }
  void _backward(const at::Tensor& t, at::TensorList inputs,
                 const std::optional<at::Tensor>& gradient, std::optional<bool> keep_graph,
                 bool create_graph) const override {
    usual_._backward(t, inputs, gradient, keep_graph, create_graph);
  }
  void requires_grad_(const TensorBase& t, bool required) const override {
    usual_.requires_grad_(t, required);
  }
  void basic_autograd_not_implemented_fallback(const c10::OperatorHandle& op,
                                               c10::DispatchKeySet keys,
                                               torch::jit::Stack* stack) const override {
    usual_.basic_autograd_not_implemented_fallback(op, keys, stack);
  }
  std::optional<c10::ScalarType> grad_dtype(const TensorBase& t) const override {
    return usual_.grad_dtype(t);
  }
  void set_grad_dtype(const TensorBase& t,
                      const std::optional<c10::ScalarType>& type) const override {
    usual_.set_grad_dtype(t, type);
  }

 private:
  at::impl::VariableHooksInterface& usual_;
};

}  // namespace

void register_moving() {
  static MovingHooks hooks(*at::impl::GetVariableHooks());
  at::impl::SetVariableHooks(&hooks);
}

}  // namespace atelier::tests
