// Holds this source tree to launch/setup/layers.txt, and holds the checker itself to made-up trees.
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/unit/layering/layer_rules.h"

namespace atelier::layering {
namespace {
namespace fs = std::filesystem;

const fs::path kRoot = ATELIER_SOURCE_DIR;

/// A small tree in a folder of its own, gone with the test.
class MadeUpTree : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    root_ = fs::path(testing::TempDir()) /
            ("layering_" + std::to_string(::getpid()) + "_" + test->name());
    write("layers.txt",
          "launch/base:\n"
          "data: launch/base   # comment\n"
          "trainer/engine: torch launch/base\n"
          "trainer/app: torch above\n"
          "tests: torch above\n");
    write("launch/base/error.h", "#include <string>\n");
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  std::string findings() {
    return to_text(check_includes(root_, read_layers(root_ / "layers.txt")));
  }

  fs::path root_;
};

TEST(SourceTree, includes_only_what_its_layer_allows) {
  const auto findings = check_includes(kRoot, read_layers(kRoot / "launch/setup/layers.txt"));

  EXPECT_TRUE(findings.empty()) << to_text(findings);
}

TEST(SourceTree, has_a_readme_in_every_folder_that_lists_its_headers) {
  const auto findings = check_readmes(kRoot);

  EXPECT_TRUE(findings.empty()) << to_text(findings);
}

TEST_F(MadeUpTree, a_clean_tree_has_no_finding) {
  write("data/shard.cpp", "#include \"launch/base/error.h\"\n#include <hdf5.h>\n");
  write("trainer/app/main.cpp", "#include <torch/torch.h>\n#include \"launch/base/error.h\"\n");
  write("tests/unit/engine/step_test.cpp", "#include <ATen/ATen.h>\n");
  write("build/generated.cpp", "#include \"anything.h\"\n");
  write(".deps/torch.h", "#include \"anything.h\"\n");

  EXPECT_EQ(findings(), "");
}

TEST_F(MadeUpTree, an_arrow_upwards_is_found_with_file_and_line) {
  write("data/shard.h", "");
  write("launch/base/clock.cpp", "// first line\n  #  include \"data/shard.h\"\n");

  EXPECT_EQ(findings(),
            "\nlaunch/base/clock.cpp:2: launch/base may not include data (data/shard.h)");
}

TEST_F(MadeUpTree, torch_below_the_trainer_is_found) {
  write("data/shard.cpp", "#include <c10/core/Device.h>\n");
  write("tests/unit/data/shard_test.cpp", "#include <torch/torch.h>\n");

  EXPECT_EQ(findings(),
            "\ndata/shard.cpp:1: includes LibTorch (c10/core/Device.h), which only trainer/ may"
            "\ntests/unit/data/shard_test.cpp:1: includes LibTorch (torch/torch.h), which only "
            "trainer/ may");
}

TEST_F(MadeUpTree, tests_are_included_by_tests_only) {
  write("tests/support/fake.h", "");
  write("tests/unit/data/shard_test.cpp", "#include \"tests/support/fake.h\"\n");
  write("trainer/app/main.cpp", "#include \"tests/support/fake.h\"\n");

  EXPECT_EQ(findings(),
            "\ntrainer/app/main.cpp:1: trainer/app may not include tests (tests/support/fake.h)");
}

TEST_F(MadeUpTree, a_path_not_from_the_root_is_found) {
  write("launch/base/a.cpp", "#include \"error.h\"\n");
  write("launch/base/b.cpp", "#include \"launch/base/../base/error.h\"\n");
  write("launch/base/c.cpp", "#include <launch/base/error.h>\n");

  EXPECT_EQ(findings(),
            "\nlaunch/base/a.cpp:1: \"error.h\" is no project file by its path from the root"
            "\nlaunch/base/b.cpp:1: \"launch/base/../base/error.h\" is no project file by its path "
            "from the root"
            "\nlaunch/base/c.cpp:1: <launch/base/error.h> is a project file: include it in quotes");
}

TEST_F(MadeUpTree, a_folder_without_a_layer_and_a_vague_name_are_found) {
  write("extras/x.cpp", "");
  write("data/utils.h", "");

  EXPECT_EQ(findings(),
            "\ndata/utils.h: a name like 'utils.h' says nothing; name the idea it holds"
            "\nextras/x.cpp: stands in a folder that launch/setup/layers.txt does not list");
}

TEST_F(MadeUpTree, a_table_that_points_upwards_is_refused) {
  write("layers.txt", "launch/base: data\ndata:\n");

  EXPECT_THROW(read_layers(root_ / "layers.txt"), std::runtime_error);
}

TEST_F(MadeUpTree, readmes_are_checked_for_presence_length_and_headers) {
  std::string long_text = "| a row of results |\n";
  for (int i = 0; i < 41; ++i) {
    long_text += "line\n";
  }
  write("launch/base/README.md", "- `error.h`: errors\n");
  write("data/shard.h", "");
  write("data/README.md", "nothing here\n");
  write("trainer/engine/step.cpp", "");
  write("trainer/app/main.cpp", "");
  write("trainer/app/README.md", long_text);

  EXPECT_EQ(to_text(check_readmes(root_)),
            "\ndata/README.md: does not list shard.h"
            "\ntrainer/app/README.md: has 41 lines besides tables, at most 40"
            "\ntrainer/engine/README.md: is missing");
}

}  // namespace
}  // namespace atelier::layering
