// Steps that one rank takes for all, such as creating a folder: the others wait for its verdict, so
// that an error is the same error on every rank and nobody is left waiting. Texts travel too.
// Thread safety: as Comm.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "launch/comm/comm.h"

namespace atelier::comm {

/// Runs `work` on rank 0 and gives its text to every rank; an Error thrown there is thrown on every
/// rank, with its exit code. Collective: all ranks; may take minutes.
[[nodiscard]] std::string on_rank_zero(Comm& comm, const std::function<std::string()>& work);

/// The texts of all ranks, in rank order, on every rank. Collective: all ranks.
[[nodiscard]] std::vector<std::string> gather_texts(Comm& comm, const std::string& text);

}  // namespace atelier::comm
