#include "launch/comm/make_comm.h"

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "launch/comm/mpi_comm.h"
#include "launch/comm/nccl_checks.h"
#include "launch/comm/nccl_comm.h"
#include "launch/comm/self_comm.h"

namespace atelier::comm {
namespace {

std::unique_ptr<Comm> make_nccl_comm(const MpiSession& session, const CommOptions& options) {
  const DeviceApis apis = make_device_apis();
  // The step computes on the host so far, and gradients lie where allocate() puts them.
  if (!apis.cuda->host_can_touch()) {
    throw RefusedError(text("This version trains on CPUs: NCCL ", nccl_version(*apis.nccl), " and ",
                            device_count(*apis.cuda),
                            " device(s) are there, a step that computes on them is not."),
                       "Use the backend mpi.");
  }
  if (!session.active()) {
    throw RefusedError("The backend nccl needs mpirun.", "Start the program as: mpirun -n N ...");
  }
  auto host = std::make_unique<MpiComm>(session, MpiCommOptions{.timeout = options.timeout});
  return std::make_unique<NcclComm>(
      session, std::move(host), apis,
      NcclOptions{.timeout = options.timeout, .share_device = options.share_device});
}

}  // namespace

Backend parse_backend(std::string_view name) {
  if (name == "auto") {
    return Backend::kAuto;
  }
  if (name == "self") {
    return Backend::kSelf;
  }
  if (name == "mpi") {
    return Backend::kMpi;
  }
  if (name == "nccl") {
    return Backend::kNccl;
  }
  throw ConfigError(text("Unknown communication backend '", name, "'."),
                    "Choose auto, self, mpi or nccl.");
}

std::unique_ptr<Comm> make_comm(const MpiSession& session, const CommOptions& options) {
  if (options.backend == Backend::kNccl) {
    return make_nccl_comm(session, options);
  }
  if (options.backend == Backend::kMpi && !session.active()) {
    throw RefusedError("The backend mpi needs mpirun.", "Start the program as: mpirun -n N ...");
  }
  if (options.backend == Backend::kSelf && session.active()) {
    throw RefusedError("The backend self is one process alone, but mpirun started this one.",
                       "Use the backend mpi, or start the program without mpirun.");
  }
  if (session.active()) {
    return std::make_unique<MpiComm>(session, MpiCommOptions{.timeout = options.timeout});
  }
  auto comm = std::make_unique<SelfComm>();
  comm->set_default_timeout(options.timeout);
  return comm;
}

}  // namespace atelier::comm
