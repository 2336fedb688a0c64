#include "checkpoints/safetensors.h"

#include <cstring>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launch/base/error.h"
#include "launch/base/random.h"
#include "launch/base/text.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/checkpoints/sample_state.h"

namespace atelier::checkpoints {
namespace {

using ::testing::HasSubstr;

std::vector<TensorView> views(const std::vector<TensorData>& tensors) {
  std::vector<TensorView> result;
  for (const TensorData& tensor : tensors) result.push_back({tensor, tensor.bytes});
  return result;
}

std::vector<std::byte> written(const std::vector<TensorData>& tensors,
                               const Metadata& metadata = {}) {
  std::vector<std::byte> out;
  const auto tensor_views = views(tensors);
  const SafetensorsImage image(tensor_views, metadata);
  image.write(
      [&](std::span<const std::byte> bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); });
  EXPECT_EQ(out.size(), image.bytes());
  return out;
}

/// A file with this header text and so many zero bytes of data.
std::vector<std::byte> with_header(std::string_view json, std::size_t data_bytes) {
  const std::uint64_t length = json.size();
  std::vector<std::byte> file(8 + json.size() + data_bytes);
  std::memcpy(file.data(), &length, 8);
  std::memcpy(file.data() + 8, json.data(), json.size());
  return file;
}

std::string fault_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const CheckpointError& problem) {
    return problem.what();
  }
  return "accepted";
}

std::string fault(std::string_view json, std::size_t data_bytes) {
  return fault_of(
      [&] { static_cast<void>(SafetensorsFile::parse(with_header(json, data_bytes), "f")); });
}

std::string header_text(const std::vector<std::byte>& file) {
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), 8);
  return std::string(reinterpret_cast<const char*>(file.data()) + 8, length);
}

TEST(SafetensorsWriter, orders_by_descending_type_then_name_and_pads_to_eight) {
  const auto file =
      written({sample_tensor("b", DType::kU8, {3}, 1), sample_tensor("z", DType::kF32, {2}, 2),
               sample_tensor("a", DType::kF32, {1, 1}, 3), sample_tensor("n", DType::kI64, {}, 4)},
              {{"format", "pt"}});

  const std::string expected =
      R"({"__metadata__":{"format":"pt"},"n":{"dtype":"I64","shape":[],"data_offsets":[0,8]},)"
      R"("a":{"dtype":"F32","shape":[1,1],"data_offsets":[8,12]},)"
      R"("z":{"dtype":"F32","shape":[2],"data_offsets":[12,20]},)"
      R"("b":{"dtype":"U8","shape":[3],"data_offsets":[20,23]}})";
  EXPECT_THAT(header_text(file), ::testing::StartsWith(expected));
  EXPECT_EQ(header_text(file).size() % 8, 0U);
  EXPECT_EQ(header_text(file).find_first_not_of(' ', expected.size()), std::string::npos);
}

TEST(SafetensorsWriter, same_tensors_in_any_order_give_same_bytes) {
  const TensorData a = sample_tensor("a", DType::kF32, {4}, 1);
  const TensorData b = sample_tensor("b", DType::kBF16, {4}, 2);

  EXPECT_EQ(written({a, b}), written({b, a}));
}

TEST(SafetensorsWriter, refuses_wrong_size_and_repeated_name) {
  TensorData wrong = sample_tensor("a", DType::kF32, {4}, 1);
  wrong.bytes.pop_back();
  const TensorData right = sample_tensor("a", DType::kF32, {4}, 1);

  EXPECT_THROW(written({wrong}), InternalError);
  EXPECT_THROW(written({right, right}), InternalError);
  EXPECT_THROW(written({sample_tensor("__metadata__", DType::kF32, {}, 1)}), InternalError);
}

TEST(Safetensors, random_tensors_come_back_whole) {
  for (std::uint64_t round = 0; round < 300; ++round) {
    const auto draw = [&](std::uint64_t what, std::uint64_t bound) {
      return uniform_below({round, Stream::kEvaluation, what, 0}, bound);
    };
    std::vector<TensorData> tensors;
    for (std::uint64_t t = 0; t < draw(0, 6); ++t) {
      std::vector<std::int64_t> shape;
      for (std::uint64_t d = 0; d < draw(10 + t, 4); ++d)
        shape.push_back(static_cast<std::int64_t>(draw(100 + 10 * t + d, 5)));
      const auto dtype = static_cast<DType>(draw(50 + t, 13));
      tensors.push_back(sample_tensor(text("näme \"", t, "\n\x01"), dtype, shape, round));
    }

    const SafetensorsFile file = SafetensorsFile::parse(written(tensors, {{"k\\", "v\t"}}), "f");

    ASSERT_EQ(file.tensors().size(), tensors.size());
    EXPECT_EQ(file.metadata().at("k\\"), "v\t");
    for (const TensorData& tensor : tensors) {
      const TensorView& found = file.tensor(tensor.name);
      EXPECT_EQ(static_cast<const TensorSpec&>(found), tensor);
      EXPECT_TRUE(std::equal(found.bytes.begin(), found.bytes.end(), tensor.bytes.begin(),
                             tensor.bytes.end()));
      if (!found.bytes.empty()) {
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(found.bytes.data()) % size_of(found.dtype), 0U);
      }
    }
  }
}

TEST(SafetensorsReader, reads_one_tensor_of_a_file) {
  const test::TemporaryFolder folder;
  LocalFileSystem files;
  const TensorData a = sample_tensor("a", DType::kF32, {3}, 1);
  const TensorData b = sample_tensor("b", DType::kU8, {5}, 2);
  const auto out = files.create(folder.path() / "x.safetensors");
  out->append(written({a, b}));
  out->close();

  const SafetensorsReader reader(files, folder.path() / "x.safetensors");

  EXPECT_EQ(reader.read("b").bytes, b.bytes);
  EXPECT_EQ(reader.read("a").bytes, a.bytes);
  EXPECT_THAT(fault_of([&] { static_cast<void>(reader.read("c")); }), HasSubstr("'c'"));
}

// One test for each rule of FORMAT.md.
TEST(SafetensorsRejects, file_shorter_than_the_length) {
  EXPECT_THAT(
      fault_of([] { static_cast<void>(SafetensorsFile::parse(std::vector<std::byte>(7), "f")); }),
      HasSubstr("too few"));
}
TEST(SafetensorsRejects, header_length_above_the_limit) {
  auto file = with_header("{}", 0);
  const std::uint64_t length = kMaxHeaderBytes + 1;
  std::memcpy(file.data(), &length, 8);
  EXPECT_THAT(fault_of([&] { static_cast<void>(SafetensorsFile::parse(file, "f")); }),
              HasSubstr("above the limit"));
}
TEST(SafetensorsRejects, header_past_the_end_of_the_file) {
  auto file = with_header("{}", 0);
  file[0] = std::byte{3};
  EXPECT_THAT(fault_of([&] { static_cast<void>(SafetensorsFile::parse(file, "f")); }),
              HasSubstr("past the end"));
}
TEST(SafetensorsRejects, header_that_does_not_start_with_a_brace) {
  EXPECT_THAT(fault(" {}", 0), HasSubstr("start with '{'"));
  EXPECT_THAT(fault("", 0), HasSubstr("start with '{'"));
  EXPECT_THAT(fault("[]", 0), HasSubstr("start with '{'"));
}
TEST(SafetensorsRejects, text_that_is_not_utf8) {
  EXPECT_THAT(fault("{\"\xff\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", 1),
              HasSubstr("bad JSON"));
}
TEST(SafetensorsRejects, bad_json) {
  EXPECT_THAT(fault("{", 0), HasSubstr("bad JSON"));
  EXPECT_THAT(fault("{}x", 0), HasSubstr("bad JSON"));
  EXPECT_THAT(fault("{\"a\":}", 0), HasSubstr("bad JSON"));
  EXPECT_THAT(fault("{}/**/", 0), HasSubstr("bad JSON"));
}
TEST(SafetensorsRejects, zero_byte_in_the_header) {
  EXPECT_THAT(fault(std::string_view("{}\0{}", 5), 0), HasSubstr("zero byte"));
}
TEST(SafetensorsRejects, duplicate_tensor) {
  EXPECT_THAT(fault(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)"
                    R"("a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})",
                    0),
              HasSubstr("duplicate key 'a'"));
}
TEST(SafetensorsRejects, duplicate_member) {
  EXPECT_THAT(fault(R"({"a":{"dtype":"U8","dtype":"I8","shape":[0],"data_offsets":[0,0]}})", 0),
              HasSubstr("duplicate key 'dtype'"));
}
TEST(SafetensorsRejects, duplicate_metadata) {
  EXPECT_THAT(fault(R"({"__metadata__":{"k":"1","k":"2"}})", 0), HasSubstr("duplicate key 'k'"));
  EXPECT_THAT(fault(R"({"__metadata__":{},"__metadata__":{}})", 0),
              HasSubstr("duplicate key '__metadata__'"));
}
TEST(SafetensorsRejects, metadata_that_is_not_text) {
  EXPECT_THAT(fault(R"({"__metadata__":{"k":1}})", 0), HasSubstr("a number"));
  EXPECT_THAT(fault(R"({"__metadata__":{"k":{}}})", 0), HasSubstr("an object"));
  EXPECT_THAT(fault(R"({"__metadata__":"k"})", 0), HasSubstr("a string"));
}
TEST(SafetensorsRejects, missing_member) {
  EXPECT_THAT(fault(R"({"a":{"dtype":"U8","shape":[1]}})", 1), HasSubstr("lacks a member"));
}
TEST(SafetensorsRejects, unknown_member) {
  EXPECT_THAT(fault(R"({"a":{"dtype":"U8","shape":[],"data_offsets":[0,1],"x":1}})", 1),
              HasSubstr("unknown member 'x'"));
}
TEST(SafetensorsRejects, unknown_dtype) {
  EXPECT_THAT(fault(R"({"a":{"dtype":"F31","shape":[],"data_offsets":[0,4]}})", 4),
              HasSubstr("unknown dtype 'F31'"));
}
TEST(SafetensorsRejects, members_of_the_wrong_type) {
  EXPECT_THAT(fault(R"({"a":{"dtype":9,"shape":[],"data_offsets":[0,1]}})", 1),
              HasSubstr("a number"));
  EXPECT_THAT(fault(R"({"a":{"dtype":"U8","shape":1,"data_offsets":[0,1]}})", 1),
              HasSubstr("a number"));
  EXPECT_THAT(fault(R"({"a":{"dtype":"U8","shape":[[1]],"data_offsets":[0,1]}})", 1),
              HasSubstr("an array"));
  EXPECT_THAT(fault(R"({"a":{"dtype":"U8","shape":["1"],"data_offsets":[0,1]}})", 1),
              HasSubstr("a string"));
  EXPECT_THAT(fault(R"({"a":{"dtype":null,"shape":[],"data_offsets":[0,1]}})", 1),
              HasSubstr("null"));
  EXPECT_THAT(fault(R"({"a":{"dtype":true,"shape":[],"data_offsets":[0,1]}})", 1),
              HasSubstr("boolean"));
  EXPECT_THAT(fault(R"({"a":7})", 0), HasSubstr("a number"));
  EXPECT_THAT(fault(R"({"a":[]})", 0), HasSubstr("an array"));
}
TEST(SafetensorsRejects, numbers_that_are_not_whole) {
  EXPECT_THAT(fault(R"({"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}})", 1),
              HasSubstr("whole number"));
  EXPECT_THAT(fault(R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})", 1),
              HasSubstr("negative"));
  EXPECT_THAT(
      fault(R"({"a":{"dtype":"U8","shape":[18446744073709551616],"data_offsets":[0,1]}})", 1),
      HasSubstr("whole number"));
  EXPECT_THAT(
      fault(R"({"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,1]}})", 1),
      HasSubstr("63 bits"));
}
TEST(SafetensorsRejects, offsets_that_are_not_two) {
  EXPECT_THAT(fault(R"({"a":{"dtype":"U8","shape":[],"data_offsets":[0]}})", 1),
              HasSubstr("two numbers"));
  EXPECT_THAT(fault(R"({"a":{"dtype":"U8","shape":[],"data_offsets":[0,1,2]}})", 1),
              HasSubstr("a number"));
}
TEST(SafetensorsRejects, hole_before_a_tensor) {
  EXPECT_THAT(fault(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", 2),
              HasSubstr("leaves a hole"));
}
TEST(SafetensorsRejects, overlapping_tensors) {
  EXPECT_THAT(fault(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                    R"("b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
                    3),
              HasSubstr("overlaps"));
}
TEST(SafetensorsRejects, end_before_begin) {
  EXPECT_THAT(fault(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}})", 1),
              HasSubstr("ends before"));
}
TEST(SafetensorsRejects, shape_product_that_overflows) {
  EXPECT_THAT(
      fault(R"({"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0),
      HasSubstr("overflows"));
  EXPECT_THAT(
      fault(R"({"a":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]}})", 0),
      HasSubstr("overflows"));
}
TEST(SafetensorsRejects, size_that_does_not_fit_shape_and_type) {
  EXPECT_THAT(fault(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4),
              HasSubstr("takes 8 bytes"));
}
TEST(SafetensorsRejects, bytes_behind_the_last_tensor) {
  EXPECT_THAT(fault(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 2),
              HasSubstr("the file at 2"));
  EXPECT_THAT(fault("{}", 1), HasSubstr("the file at 1"));
}
TEST(SafetensorsRejects, data_cut_short) {
  EXPECT_THAT(fault(R"({"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}})", 8),
              HasSubstr("the file at 8"));
}

TEST(SafetensorsAccepts, empty_scalar_and_padded) {
  EXPECT_EQ(fault("{}", 0), "accepted");
  EXPECT_EQ(fault("{}   \n", 0), "accepted");
  EXPECT_EQ(fault(R"({"a":{"data_offsets":[0,4],"shape":[],"dtype":"F32"}})", 4), "accepted");
  EXPECT_EQ(fault(R"({"a":{"dtype":"F32","shape":[0,9],"data_offsets":[0,0]}})", 0), "accepted");
}

TEST(SafetensorsFuzz, changed_headers_are_read_or_refused) {
  const auto whole = written(
      {sample_tensor("weight", DType::kF32, {2, 3}, 1), sample_tensor("count", DType::kI64, {}, 2)},
      {{"format", "pt"}});
  const std::string_view alphabet = "{}[]\":,0123456789-.eE \\unulltrfas\x80\xc3\xff";
  int refused = 0;
  constexpr int kRounds = 60'000;
  for (std::uint64_t round = 0; round < kRounds; ++round) {
    auto file = whole;
    const auto draw = [&](std::uint64_t what, std::uint64_t bound) {
      return mix64(mix64(round * 64 + what)) % bound;
    };
    for (std::uint64_t edit = 0; edit <= draw(0, 4); ++edit) {
      const std::uint64_t at = draw(1 + 4 * edit, file.size());
      switch (draw(2 + 4 * edit, 4)) {
        case 0:
          file[at] = static_cast<std::byte>(draw(3 + 4 * edit, 256));
          break;
        case 1:
          file[at] = static_cast<std::byte>(alphabet[draw(3 + 4 * edit, alphabet.size())]);
          break;
        case 2:
          file.resize(at + 1);
          break;
        default:
          file.insert(file.begin() + static_cast<std::ptrdiff_t>(at),
                      file[draw(3 + 4 * edit, file.size())]);
      }
    }

    try {
      static_cast<void>(SafetensorsFile::parse(std::move(file), "f"));
    } catch (const CheckpointError&) {
      ++refused;
    }
  }
  // Changed tensor bytes alone are legal here: hashes, not this format, find them.
  EXPECT_GT(refused, kRounds / 2);
}

TEST(CompareShapes, lists_the_first_five_and_counts_the_rest) {
  std::vector<TensorSpec> expected, found;
  for (const char* name : {"a", "b", "c", "d", "e", "f", "g"})
    expected.push_back({name, DType::kF32, {2}});
  found = {{"a", DType::kF32, {2}},
           {"b", DType::kF64, {2}},
           {"c", DType::kF32, {3}},
           {"x", DType::kU8, {}}};

  const std::string differences = compare_shapes(expected, found);

  EXPECT_EQ(differences,
            "'b': expected F32 [2], found F64 [2]\n'c': expected F32 [2], found F32 [3]\n"
            "'d': expected F32 [2], not there\n'e': expected F32 [2], not there\n"
            "'f': expected F32 [2], not there\nand 2 more");
  EXPECT_EQ(compare_shapes(expected, expected), "");
}

}  // namespace
}  // namespace atelier::checkpoints
