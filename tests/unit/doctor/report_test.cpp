#include "launch/doctor/report.h"

#include <sstream>

#include <gmock/gmock.h>

#include "launch/base/json.h"
#include "tests/unit/doctor/made_up_job.h"

namespace atelier::doctor {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

Report report_of(std::vector<Finding> findings) {
  return {.facts = healthy_job(4), .findings = std::move(findings)};
}

TEST(Page, stands_in_columns_with_what_to_do_below) {
  const Report report = report_of({{.topic = "program", .found = "atelier 1.0"},
                                   {.topic = "cores",
                                    .status = Status::kWarning,
                                    .found = "bound",
                                    .advice = "unbind",
                                    .ranks = {1, 2}}});

  EXPECT_EQ(to_page(report),
            "atelier doctor, 4 ranks on 1 host: 1 warning\n"
            "ok       program  atelier 1.0\n"
            "warning  cores    ranks 1-2: bound\n"
            "                  -> unbind\n");
}

TEST(Page, its_headline_counts_what_is_wrong) {
  EXPECT_THAT(to_page(report_of({{.topic = "x"}})), HasSubstr("all is well"));
  EXPECT_THAT(to_page(report_of({{.topic = "x", .status = Status::kProblem},
                                 {.topic = "y", .status = Status::kProblem},
                                 {.topic = "z", .status = Status::kWarning}})),
              StartsWith("atelier doctor, 4 ranks on 1 host: 2 problems and 1 warning\n"));
}

TEST(Page, no_line_is_longer_than_100_columns_unless_one_word_is) {
  std::string long_text;
  for (int i = 0; i < 60; ++i) long_text += "word" + std::to_string(i * 37) + " ";
  const Report report = report_of({{.topic = "x", .found = long_text, .advice = long_text}});

  std::istringstream lines(to_page(report));
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) EXPECT_LE(line.size(), 100U) << line;
  EXPECT_GT(count, 8);
}

TEST(Json, holds_findings_and_the_facts_of_each_rank) {
  const Report report = report_of(
      {{.topic = "a"},
       {.topic = "b", .status = Status::kProblem, .found = "f", .advice = "d", .ranks = {3}}});

  const auto json = parse_json_strict(to_json(report), "report");

  EXPECT_EQ(json.at("verdict"), "problem");
  EXPECT_EQ(json.at("ranks"), 4);
  EXPECT_EQ(json.at("hosts"), 1);
  EXPECT_TRUE(json.at("findings").at(0).at("ranks").is_null());
  EXPECT_EQ(json.at("findings").at(1).dump(),
            R"({"advice":"d","found":"f","ranks":[3],"status":"problem","topic":"b"})");
  EXPECT_EQ(json.at("facts").size(), 4U);
  EXPECT_EQ(json.at("facts").at(2).at("port").at("port"), 9412);
}

TEST(Json, survives_bytes_that_are_no_text) {
  Report report = report_of({{.topic = "a", .found = "folder '\xff'"}});
  report.facts[0].folders = {{.role = "data", .path = "\xff"}};

  EXPECT_NO_THROW((void)parse_json_strict(to_json(report), "report"));
}

}  // namespace
}  // namespace atelier::doctor
