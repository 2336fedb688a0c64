// The program itself on made-up GPUs: links before the libraries that hold the real ones.
#include "tests/support/fake_gpu/fake_nccl.h"
#include "tests/support/fake_gpu/torch_device.h"

namespace atelier::comm {

bool built_with_cuda() { return true; }

DeviceApis make_device_apis() {
  // Whoever asks, it is one device.
  static const DeviceApis apis = [] {
    const tests::Faults faults = tests::faults_of_this_rank();
    const auto memory = std::make_shared<tests::FakeMemory>();
    if (faults.most_bytes > 0) memory->most_bytes = static_cast<std::size_t>(faults.most_bytes);
    if (faults.own_memory) tests::register_torch_device(memory);
    return tests::make_fake_gpu(faults, memory);
  }();
  return apis;
}

}  // namespace atelier::comm
