#include "launch/doctor/report.h"

#include <algorithm>
#include <sstream>

#include <nlohmann/json.hpp>

#include "launch/base/text.h"

namespace atelier::doctor {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kPageWidth = 100;

std::string padded(std::string_view word, std::size_t width) {
  std::string out(word);
  if (out.size() < width) out.append(width - out.size(), ' ');
  return out;
}

// Words of `content` in lines of at most `width`; a longer word has a line of its own.
std::vector<std::string> wrapped(const std::string& content, std::size_t width) {
  std::vector<std::string> lines(1);
  std::istringstream words(content);
  for (std::string word; words >> word;) {
    const bool fits = lines.back().empty() || lines.back().size() + 1 + word.size() <= width;
    if (!fits) lines.emplace_back();
    if (!lines.back().empty()) lines.back() += ' ';
    lines.back() += word;
  }
  return lines;
}

std::string headline(const Report& report) {
  std::size_t problems = 0;
  std::size_t warnings = 0;
  for (const Finding& finding : report.findings) {
    problems += finding.status == Status::kProblem ? 1 : 0;
    warnings += finding.status == Status::kWarning ? 1 : 0;
  }
  std::string verdict;
  if (problems > 0) verdict = counted(problems, "problem");
  if (problems > 0 && warnings > 0) verdict += " and ";
  if (warnings > 0) verdict += counted(warnings, "warning");
  const auto hosts = static_cast<std::size_t>(report.facts.front().hosts);
  return text("atelier doctor, ", counted(report.facts.size(), "rank"), " on ",
              counted(hosts, "host"), ": ", verdict.empty() ? "all is well" : verdict, "\n");
}

}  // namespace

std::string to_page(const Report& report) {
  constexpr std::size_t kStatusWidth = 9;
  std::size_t topic_width = 0;
  for (const Finding& finding : report.findings) {
    topic_width = std::max(topic_width, finding.topic.size() + 2);
  }
  const std::size_t indent = kStatusWidth + topic_width;
  std::string page = headline(report);
  for (const Finding& finding : report.findings) {
    const std::string who = finding.ranks.empty() ? "" : rank_list(finding.ranks) + ": ";
    std::string start =
        padded(name_of(finding.status), kStatusWidth) + padded(finding.topic, topic_width);
    for (const std::string& line : wrapped(who + finding.found, kPageWidth - indent)) {
      page += start + line + "\n";
      start = std::string(indent, ' ');
    }
    if (finding.advice.empty()) continue;
    start = std::string(indent, ' ') + "-> ";
    for (const std::string& line : wrapped(finding.advice, kPageWidth - indent - 3)) {
      page += start + line + "\n";
      start = std::string(indent + 3, ' ');
    }
  }
  return page;
}

std::string to_json(const Report& report) {
  Json findings = Json::array();
  for (const Finding& finding : report.findings) {
    findings.push_back({{"topic", finding.topic},
                        {"status", name_of(finding.status)},
                        {"found", finding.found},
                        {"advice", finding.advice},
                        {"ranks", finding.ranks.empty() ? Json(nullptr) : Json(finding.ranks)}});
  }
  Json facts = Json::array();
  for (const RankFacts& rank : report.facts) facts.push_back(Json::parse(encode(rank)));
  const Json document{{"verdict", name_of(gravest(report.findings))},
                      {"ranks", report.facts.size()},
                      {"hosts", report.facts.front().hosts},
                      {"findings", findings},
                      {"facts", facts}};
  return document.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace atelier::doctor
