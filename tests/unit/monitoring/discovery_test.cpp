#include "monitoring/discovery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launch/base/error.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/monitoring/recording_log.h"

namespace atelier::monitoring {
namespace {

struct DiscoveryTest : testing::Test {
  [[nodiscard]] Discovery discovery() {
    return {files, log, {"gan-7", folder.path() / "run", folder.path() / "sd"}};
  }
  test::TemporaryFolder folder;
  LocalFileSystem local;
  test::FaultyFileSystem files{local};
  test::RecordingLog log;
};

TEST_F(DiscoveryTest, writes_a_target_file_and_its_copy) {
  discovery().publish({"127.0.0.1:9410", "127.0.0.1:9411"});

  const std::string expected =
      R"([{"labels":{"run_id":"gan-7"},"targets":["127.0.0.1:9410","127.0.0.1:9411"]}])"
      "\n";
  EXPECT_EQ(local.read(folder.path() / "sd/gan-7.json"), expected);
  EXPECT_EQ(local.read(folder.path() / "run/targets.json"), expected);
}

TEST_F(DiscoveryTest, clean_end_removes_both_a_crash_leaves_them) {
  discovery().publish({"127.0.0.1:9410"});  // its end without remove() is a crash's
  EXPECT_TRUE(local.exists(folder.path() / "sd/gan-7.json"));

  Discovery next = discovery();
  next.publish({"127.0.0.1:9999"});
  EXPECT_THAT(local.read(folder.path() / "sd/gan-7.json"), testing::HasSubstr("9999"));
  next.remove();

  EXPECT_FALSE(local.exists(folder.path() / "sd/gan-7.json"));
  EXPECT_FALSE(local.exists(folder.path() / "run/targets.json"));
  EXPECT_TRUE(local.list(folder.path() / "sd").empty());
}

TEST_F(DiscoveryTest, every_single_fault_is_one_warning_and_no_half_file) {
  discovery().publish({"127.0.0.1:1"});
  files.reset();
  discovery().publish({"127.0.0.1:1"});
  discovery().remove();
  const std::size_t calls = files.calls();

  for (std::size_t n = 1; n <= calls; ++n) {
    files.reset();
    log.warnings.clear();
    files.fail_at(n, {.error = ENOSPC, .torn = true, .crash = false});
    Discovery one = discovery();
    one.publish({"127.0.0.1:1"});
    for (const char* path : {"sd/gan-7.json", "run/targets.json"}) {
      if (local.exists(folder.path() / path)) {
        EXPECT_EQ(local.read(folder.path() / path), discovery_json("gan-7", {"127.0.0.1:1"}));
      }
    }
    one.remove();
    EXPECT_EQ(log.warnings.size(), 1U) << "call " << n;
  }
}

TEST_F(DiscoveryTest, run_id_must_be_a_file_name) {
  for (const char* id : {"", "a/b", "..", "a b"}) {
    EXPECT_THROW(Discovery(files, log, {id, folder.path(), folder.path()}), InternalError) << id;
  }
}

}  // namespace
}  // namespace atelier::monitoring
