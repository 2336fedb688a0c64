#include "launch/comm/together.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "launch/base/error.h"

namespace atelier::comm {
namespace {

// The deadline is the communicator's: who calls this knows how long rank 0 may take.
constexpr CallOptions kVerdict{.label = "verdict of rank 0"};

}  // namespace

std::string on_rank_zero(Comm& comm, const std::function<std::string()>& work) {
  std::array<std::int64_t, 2> head{};  // exit code, length of the text
  std::string text;
  if (comm.rank() == 0) {
    try {
      text = work();
    } catch (const Error& error) {
      head[0] = static_cast<std::int64_t>(error.exit_code());
      text = error.what();
    } catch (const std::exception& error) {
      head[0] = static_cast<std::int64_t>(ExitCode::kInternal);
      text = error.what();
    }
    head[1] = static_cast<std::int64_t>(text.size());
  }
  comm.broadcast({head.data(), head.size(), DType::kInt64}, 0, kVerdict);
  text.resize(static_cast<std::size_t>(head[1]));
  comm.broadcast({text.data(), text.size(), DType::kUInt8}, 0, kVerdict);
  if (head[0] != 0) throw Error(static_cast<ExitCode>(head[0]), text, "");
  return text;
}

std::vector<std::string> gather_texts(Comm& comm, const std::string& text) {
  auto longest = static_cast<std::int64_t>(text.size());
  comm.all_reduce({&longest, 1, DType::kInt64}, ReduceOp::kMax, kVerdict);
  // Zero bytes pad: no text of ours holds one.
  std::string padded = text;
  padded.resize(static_cast<std::size_t>(longest));
  std::string all(padded.size() * static_cast<std::size_t>(comm.world()), '\0');
  comm.all_gather({padded.data(), padded.size(), DType::kUInt8},
                  {all.data(), all.size(), DType::kUInt8}, kVerdict);
  std::vector<std::string> texts;
  for (int rank = 0; rank < comm.world(); ++rank) {
    std::string one = all.substr(static_cast<std::size_t>(rank) * padded.size(), padded.size());
    one.erase(std::find(one.begin(), one.end(), '\0'), one.end());
    texts.push_back(std::move(one));
  }
  return texts;
}

}  // namespace atelier::comm
