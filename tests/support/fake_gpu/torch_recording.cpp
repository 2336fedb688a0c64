// How the made-up device records: operators are put onto the tape as they run, the communicator's
// calls instead of being made; what they did to memory is undone. A repetition runs them on the
// same memory and carries what they made to where it was made first. What CUDA forbids fails:
// copies between host and device, results that the host wants to know, waits.
#include <algorithm>
#include <utility>

#include <ATen/core/dispatch/Dispatcher.h>

#include "tests/support/fake_gpu/tape.h"
#include "tests/support/fake_gpu/torch_parts.h"
#include "trainer/device/recording.h"

namespace atelier::tests {
namespace {

using torch::jit::Stack;

// Its shape is what it was, whatever becomes of the tensor.
at::Tensor alias_of(const at::Tensor& tensor) {
  if (!tensor.defined() || tensor.is_cpu()) return tensor;
  return at::Tensor(tensor.unsafeGetTensorImpl()->shallow_copy_and_detach(
      c10::VariableVersion(0), /*allow_tensor_metadata_change=*/true));
}

void carry(const at::Tensor& made, const at::Tensor& to) {
  if (!made.defined() || made.is_cpu() || made.storage().is_alias_of(to.storage())) return;
  at::Tensor written = to;
  written.copy_(made);
}

std::vector<at::Tensor> tensors_in(const c10::IValue& value) {
  std::vector<at::Tensor> found;
  if (value.isTensor()) found.push_back(value.toTensor());
  if (value.isTensorList()) found = value.toTensorVector();
  return found;
}

class TapeRecording final : public device::Recording {
 public:
  explicit TapeRecording(const std::function<void()>& work) {
    FakeMemory& memory = *torch_device_state().memory;
    const FakeMemory::Contents before = memory.contents();
    tape_.begin();
    try {
      work();
    } catch (...) {
      tape_.end();
      memory.restore(before);
      throw;
    }
    tape_.end();
    memory.restore(before);
  }
  void replay() override { tape_.replay(); }

 private:
  Tape tape_;
};

}  // namespace

void forbid_in_recordings(std::string_view what) {
  TORCH_CHECK(Tape::recording() == nullptr, what, ": not permitted while a stream is capturing.");
}

void put_on_tape(const c10::OperatorHandle& op, const Stack& arguments, const Stack& results) {
  Tape* const tape = Tape::recording();
  if (tape == nullptr) return;
  Stack kept = arguments, made = results;
  for (Stack* const stack : {&kept, &made}) {
    for (c10::IValue& value : *stack) for_tensors(value, alias_of);
  }
  tape->add([op, kept = std::move(kept), made = std::move(made)] {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    Stack stack = kept;
    run_operator(op, stack);
    for (std::size_t i = 0; i < made.size(); ++i) {
      const std::vector<at::Tensor> now = tensors_in(stack[i]), then = tensors_in(made[i]);
      for (std::size_t k = 0; k < now.size(); ++k) carry(now[k], then[k]);
    }
  });
}

void register_recording() {
  device::set_recorder(kFakeDevice.type(), [](const std::function<void()>& work) {
    return std::make_unique<TapeRecording>(work);
  });
}

}  // namespace atelier::tests
