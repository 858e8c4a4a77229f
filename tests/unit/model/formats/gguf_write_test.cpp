// SPDX-License-Identifier: Apache-2.0
#include "model/formats/gguf_write.h"

#include <cmath>
#include <limits>
#include <map>

#include "base/error.h"
#include "base/temporary_folder.h"
#include "model/formats/gguf_mixture.h"
#include "model/formats/gguf_quantize.h"
#include "support/catch.h"

namespace gradus {
namespace {

using Catch::Matchers::Contains;

constexpr GgufType kWritten[] = {GgufType::kF32,  GgufType::kF16,  GgufType::kBF16, GgufType::kQ8_0,
                                 GgufType::kQ4_0, GgufType::kQ5_0, GgufType::kQ5_1, GgufType::kQ4_K,
                                 GgufType::kQ5_K, GgufType::kQ6_K};

std::vector<float> row_of(const std::function<double(int)>& value) {
  std::vector<float> row(512);
  for (int i = 0; i < 512; ++i) row[static_cast<size_t>(i)] = static_cast<float>(value(i));
  return row;
}

std::vector<float> there_and_back(GgufType type, const std::vector<float>& row) {
  const auto width = static_cast<int64_t>(row.size());
  std::vector<std::byte> bytes(static_cast<size_t>(gguf_row_bytes(type, width)));
  REQUIRE(quantize_gguf_row(type, row, bytes.data()));
  std::vector<float> out(row.size());
  dequantize_gguf({.name = "x", .type = type, .shape = {width}, .bytes = bytes}, out);
  return out;
}

// The largest error over the largest value.
double worst(const std::vector<float>& row, const std::vector<float>& found) {
  double error = 0, largest = 0;
  for (size_t i = 0; i < row.size(); ++i) {
    if (!std::isfinite(found[i])) return INFINITY;
    error = std::max(error, std::abs(static_cast<double>(found[i]) - row[i]));
    largest = std::max(largest, std::abs(static_cast<double>(row[i])));
  }
  return largest == 0 ? error : error / largest;
}

}  // namespace

TEST_CASE("gguf: rows of every shape come back within a step of their type") {
  const std::map<std::string, std::vector<float>> rows = {
      {"zero", row_of([](int) { return 0; })},
      {"one value", row_of([](int) { return 0.75; })},
      {"one negative value", row_of([](int) { return -0.75; })},
      {"waves", row_of([](int i) { return std::sin(i * 0.7) * (1 + i % 5); })},
      {"one outlier", row_of([](int i) { return i == 300 ? 100.0 : std::cos(i) * 1e-3; })},
      {"large", row_of([](int i) { return 65504.0 * std::sin(i); })},
      {"small", row_of([](int i) { return 1e-3 * std::sin(i); })},
      {"all positive", row_of([](int i) { return 1 + 0.1 * std::sin(i); })},
      {"all negative", row_of([](int i) { return -1 + 0.1 * std::sin(i); })}};
  for (const GgufType type : kWritten) {
    const bool four = type == GgufType::kQ4_0 || type == GgufType::kQ4_K;
    for (const auto& [name, row] : rows) {
      INFO(gguf_type_info(type).name << ", " << name);
      CHECK(worst(row, there_and_back(type, row)) <= (four ? 0.13 : 0.07));
    }
  }
}

TEST_CASE("gguf: values that vanish in a type's scale stay finite") {
  for (const GgufType type : kWritten) {
    const std::vector<float> row = row_of([](int i) { return 1e-30 * std::sin(i); });
    CHECK(worst(row_of([](int) { return 1; }), there_and_back(type, row)) <= 1.0001);
  }
}

TEST_CASE("gguf: values that a type cannot hold are noticed") {
  for (const GgufType type : kWritten) {
    std::vector<std::byte> out(static_cast<size_t>(gguf_row_bytes(type, 512)));
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
      std::vector<float> row = row_of([](int) { return 1; });
      row[511] = bad;
      CHECK_FALSE(quantize_gguf_row(type, row, out.data()));
    }
    const bool wide = type == GgufType::kF32 || type == GgufType::kBF16;
    CHECK(quantize_gguf_row(type, row_of([](int) { return 1e6; }), out.data()) == wide);
  }
}

TEST_CASE("gguf: what is written is read again, one tensor after the other") {
  const TemporaryFolder folder;
  const std::vector<float> values = row_of([](int i) { return i; });
  const auto bytes = [&](size_t count) {
    return [&values, count] { return std::as_bytes(std::span(values)).first(4 * count); };
  };
  write_gguf(folder / "m.gguf",
             {{"a", uint32_t{7}},
              {"b", 0.5f},
              {"c", true},
              {"d", std::string("text")},
              {"e", std::vector<std::string>{"x", ""}},
              {"f", std::vector<int32_t>{-1, 2}},
              {"g", std::vector<float>{1.5f}}},
             {{"one", GgufType::kF32, {3}, bytes(3)}, {"two", GgufType::kF32, {2, 5}, bytes(10)}});
  const GgufFile file(folder / "m.gguf");
  CHECK(file.metadata() == Json{{"a", 7},
                                {"b", 0.5},
                                {"c", true},
                                {"d", "text"},
                                {"e", {"x", ""}},
                                {"f", {-1, 2}},
                                {"g", {1.5}}});
  REQUIRE(file.tensors().size() == 2);
  CHECK(file.find("two")->shape == std::vector<int64_t>{2, 5});
  std::vector<float> found(10);
  dequantize_gguf(*file.find("two"), found);
  CHECK(found == std::vector<float>(values.begin(), values.begin() + 10));
  CHECK_THROWS_AS(write_gguf(folder / "n.gguf", {}, {{"one", GgufType::kF32, {4}, bytes(3)}}),
                  std::logic_error);
  CHECK_FALSE(fs::exists(folder / "n.gguf"));
}

TEST_CASE("gguf: a file's type gives each tensor its own") {
  const auto type = [](const char* file, const char* name, std::vector<int64_t> shape,
                       GgufMixtureModel model = {.layers = 32}) {
    return std::string(
        gguf_type_info(gguf_tensor_type(gguf_file_type(file), model, name, shape)).name);
  };
  CHECK(type("Q4_K_M", "blk.5.attn_norm.weight", {4096}) == "F32");
  CHECK(type("Q4_K_M", "blk.5.attn_q.bias", {4096}) == "F32");
  CHECK(type("Q4_K_M", "blk.5.attn_q.weight", {4096, 4096}) == "Q4_K");
  CHECK(type("Q4_K_M", "blk.0.attn_v.weight", {4096, 4096}) == "Q6_K");
  CHECK(type("Q4_K_M", "blk.4.attn_v.weight", {4096, 4096}) == "Q4_K");
  CHECK(type("Q5_K_M", "blk.6.ffn_down.weight", {4096, 11008}) == "Q6_K");
  CHECK(type("Q5_K_M", "blk.7.ffn_down.weight", {4096, 11008}) == "Q5_K");
  CHECK(type("Q5_K_M", "blk.28.ffn_down.weight", {4096, 11008}) == "Q6_K");
  CHECK(type("Q4_K_M", "token_embd.weight", {32000, 4096}) == "Q4_K");
  CHECK(type("Q4_K_M", "token_embd.weight", {32000, 4096}, {.layers = 32, .tied = true}) == "Q6_K");
  CHECK(type("Q4_K_M", "output.weight", {32000, 4096}) == "Q6_K");
  CHECK(type("Q4_K_M", "output.weight", {32000, 576}) == "Q8_0");
  CHECK(type("Q4_K_M", "blk.4.attn_q.weight", {576, 576}) == "Q5_0");
  CHECK(type("Q5_K_M", "blk.4.attn_q.weight", {576, 576}) == "Q5_1");
  CHECK(type("Q6_K", "blk.4.attn_q.weight", {576, 576}) == "Q8_0");
  CHECK(type("Q4_0", "output.weight", {32000, 576}) == "Q8_0");
  CHECK(type("Q8_0", "blk.4.attn_q.weight", {48, 48}) == "F16");
  CHECK(type("Q4_K_M", "blk.20.attn_v.weight", {1024, 8192}, {.layers = 80, .grouped_70b = true}) ==
        "Q5_K");
  CHECK(type("Q4_K_M", "blk.1.time_mix_key.weight", {1024, 1024}) == "Q4_K");
  CHECK(type("Q4_K_M", "blk.1.time_mix_a1.weight", {256, 1024}) == "F16");
  CHECK(type("BF16", "blk.1.time_mix_g2.weight", {1024, 256}) == "BF16");
  CHECK(type("BF16", "blk.1.time_mix_w2.weight", {1024, 256}) == "F32");
  CHECK(type("Q8_0", "blk.1.time_mix_lerp_fused.weight", {6, 1, 1, 1024}) == "F32");
  CHECK_THROWS_WITH(gguf_file_type("Q4_K"), Contains("Q4_K_M"));
}

}  // namespace gradus
