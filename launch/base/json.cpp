#include "launch/base/json.h"

#include <utility>
#include <vector>

#include "launch/base/text.h"

namespace atelier {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxDepth = 200;

/// Builds a document from the parser's events and stops at the first fault.
class StrictBuilder final : public nlohmann::json_sax<json> {
 public:
  StrictBuilder() = default;  // NOLINT(bugprone-exception-escape): a null value never throws
  ~StrictBuilder() override = default;
  StrictBuilder(const StrictBuilder&) = delete;
  StrictBuilder& operator=(const StrictBuilder&) = delete;
  bool null() override { return put(json()); }
  bool boolean(bool value) override { return put(json(value)); }
  bool number_integer(json::number_integer_t value) override { return put(json(value)); }
  bool number_unsigned(json::number_unsigned_t value) override { return put(json(value)); }
  bool number_float(json::number_float_t value, const std::string& digits) override {
    if (digits.find_first_of(".eE") == std::string::npos) {
      return refuse(text("the integer ", digits, " does not fit into 64 bits"));
    }
    return put(json(value));
  }
  bool string(std::string& value) override { return put(json(std::move(value))); }
  bool binary(json::binary_t& /*value*/) override { return refuse("binary values are not JSON"); }
  bool start_object(std::size_t /*size*/) override { return open(json::object()); }
  bool start_array(std::size_t /*size*/) override { return open(json::array()); }
  bool key(std::string& name) override {
    if (open_.back()->contains(name)) return refuse(text("the key '", name, "' appears twice"));
    key_ = std::move(name);
    return true;
  }
  bool end_object() override { return shut(); }
  bool end_array() override { return shut(); }
  bool parse_error(std::size_t /*byte*/, const std::string& /*token*/,
                   const json::exception& problem) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: ..." without its tag.
    const std::string_view what = problem.what();
    const std::size_t tag = what.find("] ");
    return refuse(std::string(tag == std::string_view::npos ? what : what.substr(tag + 2)));
  }

  JsonResult take() {
    if (!fault_.empty()) return {json(), std::move(fault_)};
    return {std::move(root_), ""};
  }

 private:
  bool refuse(std::string fault) {
    if (fault_.empty()) fault_ = std::move(fault);
    return false;
  }
  json& place(json value) {
    if (open_.empty()) return root_ = std::move(value);
    json& parent = *open_.back();
    if (parent.is_array()) return parent.emplace_back(std::move(value));
    return parent[key_] = std::move(value);
  }
  bool put(json value) {
    place(std::move(value));
    return true;
  }
  bool open(json value) {
    if (open_.size() == kMaxDepth) return refuse(text("it nests deeper than ", kMaxDepth));
    // The parent of an open value gets no new children, so the pointer stays good.
    open_.push_back(&place(std::move(value)));
    return true;
  }
  bool shut() {
    open_.pop_back();
    return true;
  }

  json root_;
  std::vector<json*> open_;
  std::string key_;
  std::string fault_;
};

}  // namespace

JsonResult try_parse_json_strict(std::string_view content) {
  StrictBuilder builder;
  const bool read = json::sax_parse(content, &builder);
  JsonResult result = builder.take();
  if (!read && result.fault.empty()) result.fault = "it is no JSON document";
  return result;
}

}  // namespace atelier
