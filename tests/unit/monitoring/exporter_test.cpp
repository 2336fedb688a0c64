#include "monitoring/exporter.h"

#include <atomic>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"
#include "tests/unit/monitoring/http_client.h"
#include "tests/unit/monitoring/recording_log.h"

namespace atelier::monitoring {
namespace {

using test::FakeClock;
using test::http_exchange;
using test::LoopbackSocket;
using test::RecordingLog;
using test::scrape;
using testing::HasSubstr;

MonitoringConfig any_port() {
  MonitoringConfig config;
  config.port = 0;
  return config;
}

/// First of `count` ports in a row that were free a moment ago.
int free_ports(int count) {
  for (int first = 20000; first < 60000; first += 97) {
    int found = 0;
    while (found < count && LoopbackSocket().listen(first + found)) ++found;
    if (found == count) return first;
  }
  throw std::runtime_error("no free ports");
}

struct ExporterTest : testing::Test {
  FakeClock clock;
  RecordingLog log;
  Metrics metrics{{}, clock};
};

TEST_F(ExporterTest, serves_the_values_that_were_set) {
  metrics.set_loss("G", "adversarial", 0.6931471805599453);
  metrics.add(Family::kSamples, 12345);
  const Exporter exporter(any_port(), {}, metrics, log);

  const std::string body = scrape(exporter.port());

  EXPECT_THAT(body, HasSubstr("# TYPE atelier_loss gauge\n"));
  EXPECT_THAT(body, HasSubstr("atelier_loss{net=\"G\",term=\"adversarial\"} 0.693147180559945"));
  EXPECT_THAT(body, HasSubstr("atelier_samples_total{rank=\"0\"} 12345"));
  EXPECT_THAT(body, HasSubstr("process_resident_memory_bytes "));
  EXPECT_EQ(exporter.target(), "127.0.0.1:" + std::to_string(exporter.port()));
  EXPECT_TRUE(log.warnings.empty());
}

TEST_F(ExporterTest, local_rank_moves_the_port) {
  MonitoringConfig config;
  config.port = free_ports(4);

  const Exporter exporter(config, {.local_rank = 3, .hosts = 1, .hostname = "h"}, metrics, log);

  EXPECT_EQ(exporter.port(), config.port + 3);
}

TEST_F(ExporterTest, taken_port_falls_to_the_next_and_says_so) {
  MonitoringConfig config;
  config.port = free_ports(3);
  LoopbackSocket first;
  ASSERT_TRUE(first.listen(static_cast<int>(config.port)));
  MonitoringConfig next = config;
  ++next.port;
  const Exporter second(next, {}, metrics, log);
  ASSERT_EQ(second.port(), config.port + 1);

  const Exporter third(config, {}, metrics, log);

  EXPECT_EQ(third.port(), config.port + 2);
  ASSERT_EQ(log.warnings.size(), 1U);
  EXPECT_THAT(log.warnings[0], HasSubstr("is taken"));
  EXPECT_THAT(log.warnings[0], HasSubstr(third.target()));
  EXPECT_THAT(scrape(third.port()), HasSubstr("atelier_step 0"));
}

TEST_F(ExporterTest, seventeen_taken_ports_give_a_free_one) {
  MonitoringConfig config;
  config.port = free_ports(17);
  std::vector<std::unique_ptr<LoopbackSocket>> taken;
  for (int i = 0; i < 17; ++i) {
    taken.push_back(std::make_unique<LoopbackSocket>());
    ASSERT_TRUE(taken.back()->listen(static_cast<int>(config.port) + i));
  }

  const Exporter exporter(config, {}, metrics, log);

  EXPECT_TRUE(exporter.port() < config.port || exporter.port() > config.port + 16);
  EXPECT_GT(exporter.port(), 0);
  EXPECT_EQ(log.warnings.size(), 1U);
}

TEST_F(ExporterTest, bad_address_is_one_warning) {
  MonitoringConfig config;
  config.bind = "no such address";

  const Exporter exporter(config, {}, metrics, log);

  EXPECT_EQ(exporter.port(), 0);
  EXPECT_EQ(exporter.target(), "");
  ASSERT_EQ(log.warnings.size(), 1U);
  EXPECT_THAT(log.warnings[0], HasSubstr("Training goes on"));
}

TEST_F(ExporterTest, can_be_off) {
  MonitoringConfig config;
  config.enabled = false;

  const Exporter exporter(config, {}, metrics, log);

  EXPECT_EQ(exporter.port(), 0);
  EXPECT_TRUE(log.warnings.empty());
}

TEST_F(ExporterTest, loopback_on_several_hosts_is_told) {
  const Exporter exporter(any_port(), {.local_rank = 0, .hosts = 2, .hostname = "n0"}, metrics,
                          log);

  ASSERT_EQ(log.warnings.size(), 1U);
  EXPECT_THAT(log.warnings[0], HasSubstr("monitoring.bind = \"0.0.0.0\""));
}

TEST_F(ExporterTest, wildcard_is_told_by_host_name) {
  MonitoringConfig config = any_port();
  config.bind = "0.0.0.0";

  const Exporter exporter(config, {.local_rank = 0, .hosts = 2, .hostname = "n0"}, metrics, log);

  EXPECT_EQ(exporter.target(), "n0:" + std::to_string(exporter.port()));
  EXPECT_TRUE(log.warnings.empty());
}

TEST_F(ExporterTest, strange_label_values_do_not_break_a_scrape) {
  metrics.set_run_info({"gan\n\"32\"", "da\\ta\xFF", "fp32", "00ff"});
  const Exporter exporter(any_port(), {}, metrics, log);

  const std::string body = scrape(exporter.port());

  EXPECT_THAT(body, HasSubstr(R"(dataset="da\\ta?",model="gan\n\"32\"",precision="fp32")"));
}

TEST_F(ExporterTest, garbage_requests_do_no_harm) {
  const Exporter exporter(any_port(), {}, metrics, log);

  http_exchange(exporter.port(), std::string("\x16\x03\x01\0garbage\r\n\r\n", 14));
  http_exchange(exporter.port(), "GET /" + std::string(100000, 'a') + " HTTP/1.1\r\n\r\n");
  const std::string other =
      http_exchange(exporter.port(), "GET /other HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");

  EXPECT_THAT(other, HasSubstr("404"));
  EXPECT_THAT(scrape(exporter.port()), HasSubstr("atelier_step 0"));
}

TEST_F(ExporterTest, thousand_scrapes_while_values_change) {
  const Exporter exporter(any_port(), {}, metrics, log);
  std::atomic<int> steps = 0;
  std::jthread loop([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      metrics.finish_step({++steps, 0.5, 1, {}});
      metrics.set_loss("G", "adversarial", steps);
      metrics.set_indicator(Indicator::kSampleDiversity, 0.9);
      if (steps % 10 == 0) (void)metrics.take_snapshot(steps);
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  });

  double slowest = 0;
  double sum = 0;
  for (int i = 0; i < 1000; ++i) {
    const auto start = Clock::Steady::now();
    const std::string body = scrape(exporter.port());
    const double took = seconds(Clock::Steady::now() - start);
    sum += took;
    slowest = std::max(slowest, took);
    ASSERT_THAT(body, HasSubstr("atelier_samples_total{rank=\"0\"} "));
    ASSERT_TRUE(body.ends_with('\n'));
  }
  loop.request_stop();
  loop.join();

  std::printf("scrape: mean %.2f ms, slowest %.2f ms\n", sum, slowest * 1000);
  EXPECT_LT(sum / 1000, 0.005);
  EXPECT_EQ(metrics.value(Family::kSamples), steps);
}

TEST(Loopback, is_recognised) {
  for (const char* bind : {"127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost"}) {
    EXPECT_TRUE(is_loopback(bind)) << bind;
  }
  for (const char* bind : {"0.0.0.0", "10.0.0.1", "::"}) EXPECT_FALSE(is_loopback(bind)) << bind;
}

}  // namespace
}  // namespace atelier::monitoring
