// The data library on the command line, for the Python tests: one subcommand, one JSON line.
#include <chrono>
#include <iostream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "data/describe.h"
#include "data/image_codec.h"
#include "data/import/import.h"
#include "data/resize.h"
#include "data/shapes.h"
#include "data/verify.h"
#include "launch/base/error.h"

namespace atelier::data {
namespace {

using Arguments = std::vector<std::string>;

nlohmann::json import(const Arguments& arguments) {
  LocalFileSystem files;
  ImportOptions options;
  options.source = arguments.at(1);
  options.out = arguments.at(2);
  for (std::size_t i = 3; i < arguments.size(); ++i) {
    const std::string& flag = arguments[i];
    if (flag == "skip") options.on_error = OnError::kSkip;
    if (flag == "ordered") options.shuffle = false;
    if (flag == "grey") options.channels = 1;
    if (flag == "small") options.size = ImageSize{12, 16};
    if (flag.starts_with("threads=")) options.threads = std::stoi(flag.substr(8));
    if (flag.starts_with("shard=")) options.shard_bytes = std::stoul(flag.substr(6));
  }
  const auto start = std::chrono::steady_clock::now();
  const ImportReport report = import_images(files, SystemClock(), options);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  nlohmann::json skipped = nlohmann::json::array();
  for (const SkippedFile& file : report.skipped) skipped.push_back({file.name, file.reason});
  return {{"imported", report.imported},
          {"hidden", report.hidden},
          {"skipped", skipped},
          {"seconds", seconds.count()}};
}

nlohmann::json shapes(const Arguments& arguments) {
  LocalFileSystem files;
  ShapesOptions options;
  options.out = arguments.at(1);
  options.train = std::stoul(arguments.at(2));
  options.test = std::stoul(arguments.at(3));
  if (arguments.size() > 4) options.shard_bytes = std::stoul(arguments.at(4));
  make_shapes(files, SystemClock(), options);
  return nlohmann::json::object();
}

nlohmann::json verification(const Arguments& arguments) {
  LocalFileSystem files;
  const VerifyReport report = verify(files, arguments.at(1));
  return {{"findings", report.findings}, {"id", report.dataset_id}, {"bytes", report.bytes}};
}

// HEIGHT WIDTH [FIT FILTER], the last two as numbers.
Geometry geometry_of(const Arguments& arguments) {
  Geometry geometry{.height = std::stoi(arguments.at(3)), .width = std::stoi(arguments.at(4))};
  if (arguments.size() > 5) geometry.fit = static_cast<Fit>(std::stoi(arguments[5]));
  if (arguments.size() > 6) geometry.filter = static_cast<Filter>(std::stoi(arguments[6]));
  return geometry;
}

nlohmann::json decoded(const Arguments& arguments) {
  LocalFileSystem files;
  const std::string content = files.read(arguments.at(1));
  Image image = decode_image(std::as_bytes(std::span(content)), arguments.at(1));
  if (arguments.size() > 4) image = resized(image, geometry_of(arguments));
  if (arguments.size() > 2) write_png(files, arguments.at(2), image.shape, image.pixels);
  return {{"shape", {image.shape.height, image.shape.width, image.shape.channels}},
          {"pixels", image.pixels}};
}

nlohmann::json run(const Arguments& arguments) {
  const std::string command = arguments.empty() ? "" : arguments[0];
  if (command == "shapes") return shapes(arguments);
  if (command == "import") return import(arguments);
  if (command == "verify") return verification(arguments);
  if (command == "decode") return decoded(arguments);
  LocalFileSystem files;
  return describe_json(Dataset::open(files, arguments.at(1)));
}

}  // namespace
}  // namespace atelier::data

int main(int count, char** values) {
  try {
    std::cout << atelier::data::run({values + 1, values + count}) << "\n";
    return 0;
  } catch (const atelier::Error& error) {
    std::cerr << error.what() << "\n";
    return static_cast<int>(error.exit_code());
  } catch (const std::exception& error) {
    std::cerr << "unexpected: " << error.what() << "\n";
    return 70;
  }
}
