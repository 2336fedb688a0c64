#include "launch/comm/roll_call.h"

#include <algorithm>
#include <thread>
#include <type_traits>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "launch/comm/mpi_session.h"

namespace atelier::comm {
namespace {

constexpr int kAsk = 1;
constexpr int kAnswer = 2;
constexpr std::chrono::milliseconds kLook{2};

static_assert(std::is_trivially_copyable_v<Standing> && sizeof(Standing) < 3500);

}  // namespace

void Standing::add(const CallRecord& call) {
  newest.at(kept % kCalls) = call;
  ++kept;
  entered = std::max(entered, call.sequence);
}

const CallRecord* Standing::find(std::uint64_t sequence) const {
  const std::uint64_t first = kept - std::min<std::uint64_t>(kept, kCalls);
  for (std::uint64_t i = first; i < kept; ++i) {
    if (newest.at(i % kCalls).sequence == sequence) return &newest.at(i % kCalls);
  }
  return nullptr;
}

bool Standing::has_forgotten(std::uint64_t sequence) const {
  return kept > kCalls && sequence < newest.at(kept % kCalls).sequence;
}

RollCall::RollCall(MPI_Comm job) {
  check_mpi(MPI_Comm_dup(job, &comm_), "MPI_Comm_dup");
  check_mpi(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  check_mpi(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(comm_, &world_), "MPI_Comm_size");
}

bool RollCall::receive(int tag, int& source, void* data, int bytes) {
  int there = 0;
  MPI_Status status;
  check_mpi(MPI_Iprobe(MPI_ANY_SOURCE, tag, comm_, &there, &status), "MPI_Iprobe");
  if (there == 0) return false;
  source = status.MPI_SOURCE;
  check_mpi(MPI_Recv(data, bytes, MPI_BYTE, source, tag, comm_, MPI_STATUS_IGNORE), "MPI_Recv");
  return true;
}

void RollCall::answer(const Standing& mine) {
  const std::scoped_lock lock(mutex_);
  if (comm_ != MPI_COMM_NULL) answer_locked(mine);
}

void RollCall::answer_locked(const Standing& mine) {
  int source = 0;
  while (receive(kAsk, source, nullptr, 0)) {
    Answer& answer = answers_.emplace_back(Answer{.standing = mine});
    check_mpi(MPI_Isend(&answer.standing, sizeof(Standing), MPI_BYTE, source, kAnswer, comm_,
                        &answer.request),
              "MPI_Isend of an answer");
  }
  for (auto it = answers_.begin(); it != answers_.end();) {
    int sent = 0;
    check_mpi(MPI_Test(&it->request, &sent, MPI_STATUS_IGNORE), "MPI_Test of an answer");
    it = sent != 0 ? answers_.erase(it) : std::next(it);
  }
}

Standings RollCall::ask(const Standing& mine, std::chrono::milliseconds patience) {
  const std::scoped_lock lock(mutex_);
  Standings standings(static_cast<std::size_t>(world_));
  standings[static_cast<std::size_t>(rank_)] = mine;
  std::vector<MPI_Request> asked;
  for (int other = 0; other < world_; ++other) {
    if (other == rank_) continue;
    asked.emplace_back();
    check_mpi(MPI_Isend(nullptr, 0, MPI_BYTE, other, kAsk, comm_, &asked.back()), "MPI_Isend");
  }
  const auto end = std::chrono::steady_clock::now() + patience;
  const auto silent = [](const auto& standing) { return !standing.has_value(); };
  while (std::any_of(standings.begin(), standings.end(), silent) &&
         std::chrono::steady_clock::now() < end) {
    answer_locked(mine);
    Standing heard;
    int source = 0;
    if (receive(kAnswer, source, &heard, sizeof(heard))) {
      standings[static_cast<std::size_t>(source)] = heard;
    } else {
      std::this_thread::sleep_for(kLook);
    }
  }
  for (MPI_Request& request : asked) {  // empty messages: nothing is read from memory any more
    if (request != MPI_REQUEST_NULL) MPI_Request_free(&request);
  }
  return standings;
}

void RollCall::close() {
  const std::scoped_lock lock(mutex_);
  for (Answer& answer : answers_) {
    check_mpi(MPI_Wait(&answer.request, MPI_STATUS_IGNORE), "MPI_Wait");
  }
  answers_.clear();
  check_mpi(MPI_Comm_free(&comm_), "MPI_Comm_free");
}

std::string explain(const CallRecord& call, int rank, const Standings& standings) {
  std::vector<int> late;
  std::string where;
  for (std::size_t other = 0; other < standings.size(); ++other) {
    const auto& standing = standings[other];
    if (const CallRecord* const its = standing ? standing->find(call.sequence) : nullptr) {
      if (same_call(*its, call)) continue;
      return text("Ranks entered different collectives: rank ", other, " is in ", describe(*its),
                  ", rank ", rank, " is in ", describe(call),
                  ". All ranks must make the same calls in the same order; this is a defect.");
    }
    if (static_cast<int>(other) == rank || (standing && standing->has_forgotten(call.sequence))) {
      continue;
    }
    late.push_back(static_cast<int>(other));
    where += text(where.empty() ? "" : ", ", "rank ", other,
                  standing ? text(" last entered call ", standing->entered) : " does not answer");
  }
  return late.empty() ? "" : text("It waits for ", name_ranks(late), ": ", where, ".");
}

}  // namespace atelier::comm
