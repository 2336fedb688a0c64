// What is made of the ranks' answers; who asks and who answers is tested under mpirun.
#include "launch/comm/roll_call.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace atelier::comm {
namespace {

using testing::AllOf;
using testing::HasSubstr;

CallRecord call(std::uint64_t sequence, std::uint64_t count = 8) {
  return {.sequence = sequence, .count = count, .kind = CallKind::kAllReduce};
}

Standing at(std::uint64_t last) {
  Standing standing;
  for (std::uint64_t i = 1; i <= last; ++i) standing.add(call(i));
  return standing;
}

TEST(RollCall, who_did_not_come_or_does_not_answer_is_named) {
  EXPECT_EQ(explain(call(7), 0, {at(7), at(6), std::nullopt, at(9)}),
            "It waits for ranks 1, 2: rank 1 last entered call 6, rank 2 does not answer.");
}

TEST(RollCall, another_call_of_the_same_number_is_named_with_its_rank) {
  Standing other = at(6);
  other.add(call(7, 9));

  EXPECT_THAT(explain(call(7), 0, {at(7), std::nullopt, other}),
              AllOf(HasSubstr("rank 2 is in all_reduce(sum, float32 x 9), call 7"),
                    HasSubstr("rank 0 is in all_reduce(sum, float32 x 8), call 7")));
}

TEST(RollCall, ranks_that_are_far_ahead_are_not_accused) {
  EXPECT_EQ(explain(call(7), 0, {at(7), at(7 + Standing::kCalls), at(1000)}), "");
  EXPECT_EQ(explain(call(7), 0, {at(1000), at(1000)}), "");
}

TEST(RollCall, nobody_is_named_when_all_are_there) {
  EXPECT_EQ(explain(call(7), 1, {at(7), at(7)}), "");
}

TEST(Standing, keeps_the_newest_calls) {
  const Standing standing = at(100);

  EXPECT_EQ(standing.entered, 100U);
  EXPECT_EQ(standing.find(100)->sequence, 100U);
  EXPECT_EQ(standing.find(101 - Standing::kCalls)->sequence, 101 - Standing::kCalls);
  EXPECT_EQ(standing.find(100 - Standing::kCalls), nullptr);
  EXPECT_TRUE(standing.has_forgotten(100 - Standing::kCalls));
  EXPECT_FALSE(standing.has_forgotten(101));
  EXPECT_FALSE(at(3).has_forgotten(4));
}

}  // namespace
}  // namespace atelier::comm
