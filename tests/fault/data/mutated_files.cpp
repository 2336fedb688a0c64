// Files of every kind that this program reads, mutated at random: each is imported, read or refused
// with an error that names it; nothing crashes or hangs, and no wrong sample comes out of a shard.
//   mutated_files KIND COUNT [FIRST]      KIND: jpeg png webp npy idx cifar zip tar hdf5;
//   shard, manifest, or unhashed (stored images, looked at without a hash) and a storage, as in
//   shard-raw, manifest-encoded, unhashed-deflate
// Trial t is a function of (KIND, t) alone: after a crash, the last number printed and the next
// ones find it again. Meant for a build with sanitizers.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include <archive.h>
#include <archive_entry.h>
#include <hdf5.h>
#include <unistd.h>
#include <webp/encode.h>

#include "data/image_codec.h"
#include "data/import/import.h"
#include "data/reader.h"
#include "launch/base/error.h"
#include "launch/base/hash.h"
#include "launch/base/random.h"
#include "launch/base/text.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/data/damage.h"
#include "tests/unit/data/small_dataset.h"
#include "tests/unit/data/test_images.h"

// HDF5 1.10 loses a few bytes when it meets some damaged files.
extern "C" const char* __lsan_default_suppressions();  // NOLINT: the sanitizer's name
const char* __lsan_default_suppressions() { return "leak:libhdf5"; }

namespace atelier::data {
namespace {

constexpr unsigned kLongestTrial = 60;  // seconds; then SIGALRM ends the program

/// Numbers of one trial.
class Dice {
 public:
  explicit Dice(std::uint64_t trial) : trial_(trial) {}
  std::uint64_t below(std::uint64_t bound) {
    return bound == 0 ? 0 : uniform_below({.seed = 77, .major = trial_, .minor = ++drawn_}, bound);
  }

 private:
  std::uint64_t trial_;
  std::uint64_t drawn_ = 0;
};

void mutate_once(std::string& bytes, Dice& dice) {
  const std::size_t at = dice.below(bytes.size());
  const std::size_t length = dice.below(std::min<std::uint64_t>(bytes.size() - at, 64) + 1);
  switch (dice.below(8)) {
    case 0:
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << dice.below(8)));
      break;
    case 1:
      bytes[at] = static_cast<char>(dice.below(256));
      break;
    case 2: {
      constexpr std::array<std::uint32_t, 6> kNumbers{0,          1,          0xFFFFFFFF,
                                                      0x7FFFFFFF, 0x80000000, 0x01000000};
      const std::uint32_t number = kNumbers.at(dice.below(kNumbers.size()));
      for (std::size_t i = 0; i < 4 && at + i < bytes.size(); ++i)
        bytes[at + i] = static_cast<char>(number >> (8 * i));
      break;
    }
    case 3:
      bytes.resize(at);
      break;
    case 4:
      bytes.erase(at, length);
      break;
    case 5:
      bytes.insert(at, bytes.substr(at, length));
      break;
    case 6:
      for (std::size_t i = 0; i < length; ++i) bytes[at + i] = static_cast<char>(dice.below(256));
      break;
    default: {
      const std::size_t other = dice.below(bytes.size());
      std::swap(bytes[at], bytes[other]);
    }
  }
}

std::string mutated(std::string bytes, Dice& dice) {
  const std::uint64_t times = 1 + dice.below(6);
  for (std::uint64_t i = 0; i < times && !bytes.empty(); ++i) mutate_once(bytes, dice);
  return bytes;
}

std::string packed(const std::vector<std::pair<std::string, std::string>>& files, bool zip) {
  std::string out(std::size_t{1} << 20U, '\0');
  std::size_t used = 0;
  archive* const writer = archive_write_new();
  if (zip) archive_write_set_format_zip(writer);
  if (!zip) archive_write_set_format_ustar(writer);
  archive_write_open_memory(writer, out.data(), out.size(), &used);
  for (const auto& [name, content] : files) {
    archive_entry* const entry = archive_entry_new();
    archive_entry_set_pathname(entry, name.c_str());
    archive_entry_set_size(entry, static_cast<la_int64_t>(content.size()));
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_write_header(writer, entry);
    archive_write_data(writer, content.data(), content.size());
    archive_entry_free(entry);
  }
  archive_write_close(writer);
  archive_write_free(writer);
  out.resize(used);
  return out;
}

std::string png_file(unsigned seed) {
  const Image image = test_picture({9, 11, 3}, seed);
  return encode_png(image.shape, image.pixels);
}

std::string webp_file() {
  const Image image = test_picture({19, 17, 3}, 4);
  std::uint8_t* bytes = nullptr;
  const std::size_t size = WebPEncodeRGB(image.pixels.data(), 17, 19, 17 * 3, 80, &bytes);
  std::string out(reinterpret_cast<const char*>(bytes), size);
  WebPFree(bytes);
  return out;
}

std::string npy_file() {
  std::string header = "{'descr': '|u1', 'fortran_order': False, 'shape': (6, 8, 8, 3), }";
  header.resize(117, ' ');
  header += '\n';
  return std::string("\x93NUMPY\x01\x00\x76\x00", 10) + header + std::string(6 * 8 * 8 * 3, 'x');
}

std::string idx_file() {
  return std::string("\0\0\x08\x03\0\0\0\x05\0\0\0\x08\0\0\0\x08", 16) + std::string(5 * 64, 'y');
}

std::string cifar_file() {
  std::string out;
  for (int i = 0; i < 3; ++i) out += static_cast<char>(i) + std::string(3072, 'z');
  return out;
}

std::string hdf5_file(const Path& file) {
  const hid_t out = H5Fcreate(file.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  const std::array<hsize_t, 4> shape{12, 8, 8, 3};
  const std::array<hsize_t, 4> chunk{5, 8, 8, 3};
  const hid_t space = H5Screate_simple(4, shape.data(), nullptr);
  const hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_chunk(properties, 4, chunk.data());
  H5Pset_deflate(properties, 4);
  const hid_t images =
      H5Dcreate2(out, "images", H5T_STD_U8LE, space, H5P_DEFAULT, properties, H5P_DEFAULT);
  const std::vector<std::uint8_t> pixels(std::size_t{12} * 8 * 8 * 3, 99);
  H5Dwrite(images, H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, pixels.data());
  H5Dclose(images);
  H5Pclose(properties);
  H5Sclose(space);
  H5Fclose(out);
  return file_content(file);
}

/// Decodes it; pixels are as many as the shape says.
void decode(const std::string& bytes) {
  const Image image = decode_image(std::as_bytes(std::span(bytes)), "mutated");
  ATELIER_CHECK(image.pixels.size() == image.shape.bytes(), "pixels of the shape");
}

/// Lists it and takes every image.
void take_all(const Path& file) {
  const auto source = open_source(file);
  const Listing listing = source->list(OnError::kSkip);
  std::vector<bool> wanted;
  for (const SourceItem& item : listing.items) wanted.push_back(item.problem.empty());
  source->stream(wanted, [](std::size_t /*id*/, const SourceImage& image) {
    if (image.pixels)
      ATELIER_CHECK(image.pixels->pixels.size() == image.pixels->shape.bytes(), "whole pixels");
    try {
      if (!image.pixels && image.problem.empty())
        static_cast<void>(decode_image(image.file, "mutated"));
    } catch (const DataError&) {  // as import tells of it
    }
    return true;
  });
}

/// The samples of a small dataset, to be compared with what a mutated one gives.
class Samples {
 public:
  Samples(const Path& folder, Storage storage) : folder_(folder) {
    make_small(files_, folder, {.shape = {16, 16, 3}, .samples = {60, 4, 4}, .storage = storage});
    pixels_ = read(Check::kOnce);
  }

  [[nodiscard]] ShardEntry shard() {
    return Dataset::open(files_, folder_).manifest().shards.front();
  }
  [[nodiscard]] std::vector<std::uint8_t> unchecked() { return read(Check::kOff); }

  /// However the files are read; each way in turn.
  void require_same() {
    constexpr std::array kWays{Access::kMap, Access::kRead, Access::kDirect};
    if (read(Check::kOnce, kWays.at(turn_++ % kWays.size())) != pixels_) {
      std::cerr << "A wrong sample came out of a mutated file.\n";
      std::abort();
    }
  }

 private:
  std::vector<std::uint8_t> read(Check check, Access access = Access::kAuto) {
    const Dataset dataset = Dataset::open(files_, folder_);
    Reader reader(dataset, Split::kTrain, {.access = access, .check = check});
    std::vector<std::uint64_t> indices(reader.size());
    std::iota(indices.begin(), indices.end(), std::uint64_t{0});
    std::vector<std::uint8_t> pixels(reader.size() * reader.shape().bytes());
    reader.read(indices, pixels);
    std::vector<std::int64_t> labels(reader.size());
    reader.labels(indices, labels);
    for (const std::int64_t label : labels) pixels.push_back(static_cast<std::uint8_t>(label));
    return pixels;
  }

  LocalFileSystem files_;
  Path folder_;
  std::vector<std::uint8_t> pixels_;
  std::size_t turn_ = 0;
};

// A manifest that vouches for itself, so that what it says is looked at.
std::string with_own_hash(std::string manifest) {
  const std::string key = "\"manifest_hash\": \"";
  const std::size_t at = manifest.find(key);
  if (at == std::string::npos || at + key.size() + 16 > manifest.size()) return manifest;
  manifest.replace(at + key.size(), 16, 16, '0');
  return manifest.replace(at + key.size(), 16, to_hex(xxh3_64(manifest)));
}

using Trial = std::function<void(Dice&)>;

/// Of one whole array or file among many others, so that its size stays.
void mutate_within(std::string& bytes, std::uint64_t offset, std::uint64_t size, Dice& dice) {
  const std::string part = mutated(bytes.substr(offset, size), dice);
  bytes.replace(offset, std::min(size, part.size()), part, 0, size);
}

Trial trial_of_dataset(const std::string& kind, const Path& set) {
  const std::size_t dash = kind.find('-');
  const auto packing = packing_from_names(kind.substr(dash + 1), kFitNames[0], kFilterNames[0]);
  if (dash == std::string::npos || !packing) throw ConfigError(text("No kind '", kind, "'."));
  const auto samples = std::make_shared<Samples>(set, packing->storage);
  const std::string part = kind.substr(0, dash);
  const Path file = set / (part == "manifest" ? "manifest.json" : "train-00000-of-00001.h5");
  const std::string whole = file_content(file);
  if (part == "unhashed") {
    return [=, entry = samples->shard()](Dice& dice) {
      std::string bytes = whole;
      mutate_within(bytes, entry.places[kImages].offset, entry.image_bytes, dice);
      if (dice.below(2) == 0) mutate_within(bytes, entry.places.back().offset, 60 * 8, dice);
      write_file(file, bytes);
      static_cast<void>(samples->unchecked());
    };
  }
  return [=, resign = part == "manifest"](Dice& dice) {
    const std::string bytes = mutated(whole, dice);
    write_file(file, resign && dice.below(4) > 0 ? with_own_hash(bytes) : bytes);
    samples->require_same();
  };
}

Trial trial_of(const std::string& kind, const Path& folder) {
  const auto of_bytes = [](std::string bytes) -> Trial {
    return [bytes](Dice& dice) { decode(mutated(bytes, dice)); };
  };
  const auto of_source = [folder](std::string bytes, const std::string& name) -> Trial {
    return [=](Dice& dice) {
      write_file(folder / name, mutated(bytes, dice));
      take_all(folder / name);
    };
  };
  if (kind == "jpeg") return of_bytes(encode_jpeg(test_picture({29, 31, 3}, 5)));
  if (kind == "png") return of_bytes(png_file(1));
  if (kind == "webp") return of_bytes(webp_file());
  if (kind == "npy") return of_source(npy_file(), "images.npy");
  if (kind == "idx") return of_source(idx_file(), "train-images-idx3-ubyte");
  if (kind == "cifar") return of_source(cifar_file(), "data_batch_1.bin");
  if (kind == "zip") {
    return of_source(packed({{"train/a/1.png", png_file(1)},
                             {"train/b/2.png", png_file(2)},
                             {"dataset.json", R"({"labels": [["train/a/1.png", 3]]})"}},
                            true),
                     "photos.zip");
  }
  if (kind == "tar") {
    return of_source(packed({{"1.png", png_file(1)},
                             {"1.cls", "4"},
                             {"2.png", png_file(2)},
                             {"2.json", "{\"cls\": 5}"}},
                            false),
                     "photos.tar");
  }
  if (kind == "hdf5") return of_source(hdf5_file(folder / "whole.h5"), "foreign.h5");
  return trial_of_dataset(kind, folder / "set");
}

int run(const std::string& kind, std::uint64_t count, std::uint64_t first) {
  const test::TemporaryFolder folder;
  const Trial trial = trial_of(kind, folder.path());
  std::map<std::string, std::uint64_t> outcomes;
  for (std::uint64_t number = first; number < first + count; ++number) {
    if (number % 10000 == 0) std::cerr << kind << " " << number << "\n";
    ::alarm(kLongestTrial);
    Dice dice(number);
    try {
      trial(dice);
      ++outcomes["taken"];
    } catch (const Error& error) {
      ATELIER_CHECK(error.exit_code() != ExitCode::kInternal, error.what());
      ++outcomes["refused"];
    }
  }
  ::alarm(0);
  std::cout << kind << ": " << count << " mutated, " << outcomes["taken"] << " taken, "
            << outcomes["refused"] << " refused\n";
  return 0;
}

}  // namespace
}  // namespace atelier::data

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "mutated_files KIND COUNT [FIRST]\n";
    return 2;
  }
  return atelier::data::run(argv[1], std::strtoull(argv[2], nullptr, 10),
                            argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 0);
}
