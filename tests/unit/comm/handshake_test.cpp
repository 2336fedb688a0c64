#include "launch/comm/handshake.h"

#include <vector>

#include <gmock/gmock.h>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "launch/comm/thread_comm.h"

namespace atelier::comm {
namespace {

using testing::HasSubstr;
using testing::Not;

/// What require_equal says on a rank; empty when it agrees.
std::string verdict(Comm& comm, const std::vector<NamedText>& items) {
  try {
    require_equal(comm, items);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(Handshake, equal_items_pass) {
  for (int world = 1; world <= 4; ++world) {
    run_ranks(world, [](Comm& comm) {
      EXPECT_EQ(verdict(comm, {{"train.batch", "64"}, {"dataset", "00ff"}}), "");
      EXPECT_EQ(verdict(comm, {}), "");
      EXPECT_EQ(comm.sequence(), 2U);  // one call each where all agree
    });
  }
}

TEST(Handshake, a_difference_names_rank_key_and_both_values_on_every_rank) {
  run_ranks(3, [](Comm& comm) {
    const std::string batch = comm.rank() == 1 ? "32" : "64";
    EXPECT_THAT(verdict(comm, {{"seed", "1"}, {"train.batch", batch}}),
                HasSubstr("rank 1 has train.batch = 32, rank 0 has 64"));
  });
}

TEST(Handshake, a_key_one_rank_lacks_is_named) {
  run_ranks(2, [](Comm& comm) {
    std::vector<NamedText> items{{"seed", "1"}};
    if (comm.rank() == 0) {
      items.push_back({"train.steps", "10"});
    }
    EXPECT_THAT(verdict(comm, items), HasSubstr("rank 1 has no train.steps, rank 0 has 10"));
  });
}

TEST(Handshake, values_cannot_pass_for_names) {
  run_ranks(2, [](Comm& comm) {
    const bool first = comm.rank() == 0;
    EXPECT_NE(verdict(comm, {{first ? "ab" : "a", first ? "c" : "bc"}}), "");
  });
}

TEST(Handshake, five_differences_at_most_are_shown) {
  run_ranks(2, [](Comm& comm) {
    std::vector<NamedText> items;
    for (int i = 0; i < 8; ++i) {
      items.push_back({text("key", i), text("value", comm.rank())});
    }
    const std::string message = verdict(comm, items);
    EXPECT_THAT(message, HasSubstr("key4"));
    EXPECT_THAT(message, Not(HasSubstr("key5")));
    EXPECT_THAT(message, HasSubstr("and 3 more"));
  });
}

}  // namespace
}  // namespace atelier::comm
