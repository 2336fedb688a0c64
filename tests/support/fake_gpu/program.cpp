// The program itself on made-up GPUs: links before the libraries that hold the real ones.
#include "tests/support/fake_gpu/fake_nccl.h"

namespace atelier::comm {

bool built_with_cuda() { return true; }

DeviceApis make_device_apis() { return tests::make_fake_gpu(tests::faults_of_this_rank()); }

}  // namespace atelier::comm
