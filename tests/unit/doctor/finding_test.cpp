#include "launch/doctor/finding.h"

#include <gtest/gtest.h>

namespace atelier::doctor {
namespace {

Finding said(const std::string& found) { return {.topic = "cores", .found = found}; }

TEST(Merge, what_all_ranks_found_is_said_once_without_ranks) {
  const std::vector<Finding> each(3, said("two"));

  const std::vector<Finding> merged = merge(each);

  ASSERT_EQ(merged.size(), 1U);
  EXPECT_EQ(merged[0].found, "two");
  EXPECT_TRUE(merged[0].ranks.empty());
}

TEST(Merge, ranks_that_differ_are_named) {
  const std::vector<Finding> each{said("two"), said("one"), said("two"), said("one")};

  const std::vector<Finding> merged = merge(each);

  ASSERT_EQ(merged.size(), 2U);
  EXPECT_EQ(merged[0].ranks, (std::vector<int>{0, 2}));
  EXPECT_EQ(merged[1].found, "one");
  EXPECT_EQ(merged[1].ranks, (std::vector<int>{1, 3}));
}

TEST(Merge, another_status_or_advice_is_a_difference) {
  std::vector<Finding> each(3, said("two"));
  each[1].status = Status::kWarning;
  each[2].advice = "do";

  EXPECT_EQ(merge(each).size(), 3U);
}

TEST(Gravest, is_the_worst_of_all) {
  EXPECT_EQ(gravest({}), Status::kOk);
  std::vector<Finding> findings(3, said("x"));
  findings[1].status = Status::kWarning;
  EXPECT_EQ(gravest(findings), Status::kWarning);
  findings[0].status = Status::kProblem;
  EXPECT_EQ(gravest(findings), Status::kProblem);
}

TEST(RankList, writes_runs_as_ranges) {
  EXPECT_EQ(rank_list(std::vector<int>{3}), "rank 3");
  EXPECT_EQ(rank_list(std::vector<int>{0, 1}), "ranks 0-1");
  EXPECT_EQ(rank_list(std::vector<int>{0, 1, 2, 5, 7, 8}), "ranks 0-2, 5, 7-8");
  EXPECT_EQ(number_list({}), "");
}

TEST(Counted, has_a_plural) {
  EXPECT_EQ(counted(1, "rank"), "1 rank");
  EXPECT_EQ(counted(0, "rank"), "0 ranks");
}

}  // namespace
}  // namespace atelier::doctor
