// The probes on made-up hosts (folders that stand for "/") and on this one.
#include <fstream>

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "launch/doctor/control_groups.h"
#include "launch/doctor/gpu.h"
#include "launch/doctor/memory.h"
#include "launch/doctor/port.h"
#include "launch/doctor/processor.h"
#include "launch/doctor/small_file.h"
#include "tests/support/fake_gpu/fake_nccl.h"
#include "tests/support/temporary_folder.h"

namespace atelier::doctor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class MadeUpHost : public testing::Test {
 protected:
  void write(const Path& path, const std::string& content) {
    std::filesystem::create_directories((root() / path).parent_path());
    std::ofstream(root() / path) << content;
  }
  [[nodiscard]] const Path& root() const { return folder_.path(); }

 private:
  test::TemporaryFolder folder_;
};

TEST(ValueOf, finds_whole_keys_only) {
  const std::string content = "MemTotalSwap: 1 kB\nMemTotal:\t 2 kB\nempty:\n";

  EXPECT_EQ(value_of(content, "MemTotal"), "2 kB");
  EXPECT_EQ(value_of(content, "empty"), "");
  EXPECT_EQ(value_of(content, "Mem"), "");
}

TEST(Cpuinfo, names_the_model_and_the_features_that_matter) {
  const CpuDescription cpu = parse_cpuinfo(
      "processor\t: 0\nmodel\t\t: 17\nmodel name\t: A CPU @ 2 GHz\n"
      "flags\t\t: fpu avx2 avx512_bf16_not amx_bf16 amx_tile\n\nprocessor\t: 1\n");

  EXPECT_EQ(cpu.model, "A CPU @ 2 GHz");
  EXPECT_TRUE(cpu.lists_features);
  EXPECT_THAT(cpu.features, ElementsAre("avx2", "amx_tile", "amx_bf16"));
  EXPECT_FALSE(parse_cpuinfo("processor : 0\nFeatures : fp asimd\n").lists_features);
}

TEST_F(MadeUpHost, version_2_groups_limit_by_the_tightest_above) {
  write("proc/self/cgroup", "0::/pod/job\n");
  write("sys/fs/cgroup/pod/job/memory.max", "max\n");
  write("sys/fs/cgroup/pod/job/cpu.max", "400000 100000\n");
  write("sys/fs/cgroup/pod/memory.max", "8589934592\n");
  write("sys/fs/cgroup/pod/cpu.max", "150000 100000\n");
  write("sys/fs/cgroup/memory.max", "max\n");
  write("sys/fs/cgroup/cpu.max", "800000 100000\n");

  const GroupLimits limits = read_group_limits(root());

  EXPECT_EQ(limits.memory_bytes, std::uint64_t{8} << 30U);
  EXPECT_DOUBLE_EQ(limits.cores, 1.5);
}

TEST_F(MadeUpHost, version_1_groups_limit_by_controller) {
  write("proc/self/cgroup", "4:memory:/not/mounted/here\n3:cpu,cpuacct:/job\n1:pids:/\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n");
  write("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "-1\n");
  write("sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n");
  write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "250000\n");
  write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");

  const GroupLimits limits = read_group_limits(root());

  EXPECT_EQ(limits.memory_bytes, std::uint64_t{1} << 30U);
  EXPECT_DOUBLE_EQ(limits.cores, 2.5);
}

TEST_F(MadeUpHost, no_limit_is_0_however_it_is_written) {
  write("proc/self/cgroup", "4:memory:/\n0::/\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  write("sys/fs/cgroup/memory.max", "max\n");

  EXPECT_EQ(read_group_limits(root()).memory_bytes, 0U);
  EXPECT_EQ(read_group_limits(root() / "nothing").cores, 0.0);
}

TEST_F(MadeUpHost, memory_is_read_in_bytes) {
  write("proc/meminfo", "MemTotal:       24091140 kB\nMemAvailable:   1024 kB\n");

  const MemoryFacts facts = probe_memory(root());

  EXPECT_EQ(facts.total_bytes, std::uint64_t{24091140} * 1024);
  EXPECT_EQ(facts.available_bytes, std::uint64_t{1} << 20U);
  EXPECT_FALSE(facts.has_shared);
  EXPECT_EQ(probe_memory(root() / "nothing").total_bytes, 0U);
}

TEST_F(MadeUpHost, a_driver_is_told_by_its_version) {
  EXPECT_EQ(parse_driver_version("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu "
                                 "Oct 19 18:56:32 UTC 2023\nGCC version: gcc 12.2.0\n"),
            "535.129.03");
  EXPECT_EQ(parse_driver_version("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  "
                                 "570.86.15  Release Build  (root@host)\n"),
            "570.86.15");
  EXPECT_EQ(parse_driver_version("NVRM version: NVIDIA Corp. Module 1.2\n"), "1.2");
  EXPECT_EQ(parse_driver_version(""), "");

  write("proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.1  x\n");
  EXPECT_EQ(probe_gpus({}, root()).driver, "535.1");
}

GpuFacts made_up_gpus(std::string_view faults, const GpuSeat& seat) {
  GpuFacts facts;
  ask_devices(tests::make_fake_gpu(tests::parse_faults(faults, 0)), seat, facts);
  return facts;
}

TEST(Gpus, are_told_with_all_that_matters) {
  const GpuFacts facts = made_up_gpus("devices=3,name=Quick 9,driver=13010", {});

  EXPECT_EQ(facts.fault, "");
  EXPECT_EQ(facts.cuda, "13.0");
  EXPECT_EQ(facts.cuda_built, "13.0");
  EXPECT_EQ(facts.driver_cuda, "13.1");
  EXPECT_EQ(facts.nccl, "2.28.9");
  EXPECT_EQ(facts.device, 0);
  ASSERT_EQ(facts.each.size(), 3U);
  for (const DeviceFacts& device : facts.each) {
    EXPECT_EQ(device.name, "Quick 9");
    EXPECT_EQ(device.capability, "9.0");
    EXPECT_EQ(device.total_bytes, std::uint64_t{80} << 30U);
    EXPECT_TRUE(device.free_known) << "a process alone asks all";
    EXPECT_EQ(device.free_bytes, std::uint64_t{79} << 30U);
  }
  EXPECT_EQ(facts.each[1].bus_id, "0000:11:00.0");
  EXPECT_THAT(facts.each[1].peers, ElementsAre("0000:10:00.0", "0000:12:00.0"));
  EXPECT_THAT(made_up_gpus("peer=none", {}).each[0].peers, testing::IsEmpty());
}

TEST(Gpus, a_rank_of_a_job_asks_for_the_memory_of_its_own_alone) {
  const GpuFacts second = made_up_gpus("devices=2", {.local_rank = 1, .alone = false});
  EXPECT_EQ(second.device, 1);
  EXPECT_FALSE(second.each[0].free_known);
  EXPECT_TRUE(second.each[1].free_known);

  const GpuFacts third = made_up_gpus("devices=2", {.local_rank = 2, .alone = false});
  EXPECT_EQ(third.device, 0);
  EXPECT_FALSE(third.each[1].free_known);
}

TEST(Gpus, a_device_that_cannot_be_used_says_why_and_leaves_the_others) {
  const GpuFacts facts = made_up_gpus("device=busy", {.local_rank = 1, .alone = false});

  EXPECT_EQ(facts.fault, "");
  EXPECT_EQ(facts.each[0].fault, "");
  EXPECT_THAT(facts.each[1].fault, HasSubstr("cudaSetDevice(1) failed: CUDA-capable device(s)"));
}

TEST(Gpus, none_or_another_library_is_a_fault_that_keeps_the_versions) {
  const GpuFacts none = made_up_gpus("devices=0,driver=12020", {});
  EXPECT_THAT(none.fault, HasSubstr("no CUDA-capable device"));
  EXPECT_EQ(none.driver_cuda, "12.2");
  EXPECT_EQ(none.cuda, "13.0");
  EXPECT_EQ(none.devices, 0);
  EXPECT_THAT(made_up_gpus("nccl=22105", {}).fault, HasSubstr("NCCL 2.21.5 is loaded"));
}

TEST_F(MadeUpHost, adapters_with_an_active_port_are_named) {
  write("sys/class/infiniband/mlx5_1/ports/1/state", "4: ACTIVE\n");
  write("sys/class/infiniband/mlx5_0/ports/1/state", "1: DOWN\n");
  write("sys/class/infiniband/mlx5_0/ports/2/state", "4: ACTIVE\n");
  write("sys/class/infiniband/mlx5_2/ports/1/state", "2: INIT\n");

  EXPECT_THAT(probe_gpus({}, root()).fabrics, ElementsAre("mlx5_0", "mlx5_1"));
  EXPECT_THAT(probe_gpus({}, root() / "nothing").fabrics, testing::IsEmpty());
}

TEST(ThisHost, tells_its_memory_and_cores_and_keeps_the_binding) {
  cpu_set_t before;
  CPU_ZERO(&before);
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);

  const ProcessorFacts facts = probe_processor();

  cpu_set_t after;
  CPU_ZERO(&after);
  ASSERT_EQ(sched_getaffinity(0, sizeof after, &after), 0);
  EXPECT_TRUE(CPU_EQUAL(&before, &after));
  EXPECT_EQ(facts.cores.size(), static_cast<std::size_t>(CPU_COUNT(&before)));
  EXPECT_GE(facts.reachable.size(), facts.cores.size());
  const MemoryFacts memory = probe_memory();
  EXPECT_GT(memory.available_bytes, 0U);
  EXPECT_LE(memory.available_bytes, memory.total_bytes);
}

TEST(ThisHost, a_bound_process_sees_the_cores_it_could_have) {
  cpu_set_t before;
  CPU_ZERO(&before);
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  const std::vector<int> all = probe_processor().cores;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<std::size_t>(all.back()), &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);

  const ProcessorFacts facts = probe_processor();
  const ProcessorFacts again = probe_processor();
  ASSERT_EQ(sched_setaffinity(0, sizeof before, &before), 0);

  EXPECT_THAT(facts.cores, ElementsAre(all.back()));
  EXPECT_THAT(again.cores, ElementsAre(all.back())) << "the first look has unbound the process";
  EXPECT_GE(facts.reachable.size(), all.size());
}

TEST(Port, is_free_or_taken) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const place = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(fd, place, size), 0);
  ASSERT_EQ(::listen(fd, 1), 0);
  ASSERT_EQ(::getsockname(fd, place, &size), 0);
  const int port = ntohs(address.sin_port);

  const PortFacts taken = probe_port(port);
  ::close(fd);
  const PortFacts free = probe_port(port);

  EXPECT_THAT(taken.fault, HasSubstr("in use"));
  EXPECT_EQ(free.fault, "");
  EXPECT_EQ(free.port, port);
}

}  // namespace
}  // namespace atelier::doctor
