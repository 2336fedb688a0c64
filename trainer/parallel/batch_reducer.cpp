#include "trainer/parallel/batch_reducer.h"

#include "trainer/parallel/tensor_buffer.h"

namespace atelier::parallel {
namespace {

// y = Σ_r x_r on every rank, so dL/dx_r = Σ_r dL_r/dy: the backward is the function itself, and
// with it every higher derivative.
class AllReduceSum : public torch::autograd::Function<AllReduceSum> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& local,
                            std::int64_t comm) {
    context->saved_data["comm"] = comm;
    at::Tensor sum = local.detach().clone(at::MemoryFormat::Contiguous);
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the context stores numbers only
    reinterpret_cast<comm::Comm*>(comm)->all_reduce(buffer_of(sum), comm::ReduceOp::kSum,
                                                    call_options(sum, "batch statistic of a loss"));
    return sum;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    return {apply(gradients.at(0), context->saved_data["comm"].toInt()), at::Tensor()};
  }
};

}  // namespace

at::Tensor BatchReducer::sum(const at::Tensor& local) const {
  if (comm_->world() == 1) return local;
  return AllReduceSum::apply(local, reinterpret_cast<std::int64_t>(comm_));
}

at::Tensor BatchReducer::gather(const at::Tensor& local) const {
  const torch::NoGradGuard no_grad;
  at::Tensor all = local.new_empty({comm_->world(), local.numel()});
  comm_->all_gather(buffer_of(local), buffer_of(all), call_options(all, "batch statistics"));
  return all;
}

at::Tensor BatchReducer::share(const at::Tensor& replicated) const {
  return comm_->world() == 1 ? replicated : replicated / comm_->world();
}

}  // namespace atelier::parallel
