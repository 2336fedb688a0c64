#include "launch/comm/make_comm.h"

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "launch/comm/mpi_comm.h"
#include "launch/comm/nccl_comm.h"
#include "launch/comm/nccl_start.h"
#include "launch/comm/self_comm.h"

namespace atelier::comm {
namespace {

std::unique_ptr<MpiComm> make_mpi_comm(const MpiSession& session, const CommOptions& options) {
  return std::make_unique<MpiComm>(session, MpiCommOptions{.timeout = options.timeout});
}

std::unique_ptr<Comm> make_nccl_comm(const MpiSession& session, const CommOptions& options) {
  const DeviceApis apis = make_device_apis();
  if (!session.active()) {
    throw RefusedError("The backend nccl needs mpirun.", "Start the program as: mpirun -n N ...");
  }
  return std::make_unique<NcclComm>(
      session, make_mpi_comm(session, options), apis,
      NcclOptions{.timeout = options.timeout, .share_device = options.share_device});
}

// GPUs where every rank has one of its own.
std::unique_ptr<Comm> make_fitting_comm(const MpiSession& session, const CommOptions& options) {
  auto host = make_mpi_comm(session, options);
  if (!built_with_cuda()) return host;
  DeviceApis apis = make_device_apis();
  if (!each_rank_has_a_device(*host, *apis.cuda)) return host;
  return std::make_unique<NcclComm>(session, std::move(host), std::move(apis),
                                    NcclOptions{.timeout = options.timeout});
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
    if (options.backend == Backend::kMpi) return make_mpi_comm(session, options);
    return make_fitting_comm(session, options);
  }
  auto comm = std::make_unique<SelfComm>();
  comm->set_default_timeout(options.timeout);
  return comm;
}

}  // namespace atelier::comm
