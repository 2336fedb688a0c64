#include "launch/comm/self_comm.h"

#include <cstdio>
#include <cstring>

#include <unistd.h>

#include "launch/base/text.h"

namespace atelier::comm {

void SelfComm::abort(std::string_view reason, int exit_code) {
  std::fputs(text("atelier: ", reason, " (exit code ", exit_code, ")\n").c_str(), stderr);
  ::_exit(exit_code);  // no destructors: another thread may be inside what they would destroy
}

void SelfComm::exchange(const Task& task) {
  const bool moves =
      task.call.kind == CallKind::kAllGather || task.call.kind == CallKind::kReduceScatter;
  if (moves && task.in_bytes() > 0) {
    std::memmove(task.out, task.in, task.in_bytes());
  }
}

}  // namespace atelier::comm
