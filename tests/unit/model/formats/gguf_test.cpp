// SPDX-License-Identifier: Apache-2.0
#include "model/formats/gguf.h"

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/float16.h"
#include "base/temporary_folder.h"
#include "support/catch.h"
#include "unit/model/formats/gguf_builder.h"

namespace gradus {
namespace {

using Catch::Matchers::Contains;
using Builder = GgufBuilder;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

std::string refusal(const std::string& image) {
  try {
    parse_gguf(bytes_of(image), "m.gguf");
  } catch (const Error& error) {
    const std::string line = error.what();
    CHECK(line.find('\n') == std::string::npos);
    CHECK_THAT(line, Contains("m.gguf"));
    return line;
  }
  return "accepted";
}

std::string floats(const std::vector<float>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
}

TEST_CASE("gguf: metadata of every type") {
  Builder builder;
  builder.key("u8", 0, Builder::number(uint8_t{200})).key("i8", 1, Builder::number(int8_t{-5}));
  builder.key("u16", 2, Builder::number(uint16_t{60000}))
      .key("i16", 3, Builder::number(int16_t{-6}));
  builder.key("u32", 7u).key("i32", 5, Builder::number(int32_t{-7})).key("f32", 0.5f);
  builder.key("bool", 7, std::string(1, '\1')).key("text", std::string("é"));
  builder.key("u64", 10, Builder::number(uint64_t{1} << 60))
      .key("i64", 11, Builder::number(int64_t{-8}));
  builder.key("f64", 12, Builder::number(0.25));
  builder.array("words", 8, 2, Builder::text("a") + Builder::text("")).array("none", 8, 0, "");
  const std::string image = builder.build();
  const Json found = parse_gguf(bytes_of(image), "m.gguf").metadata;
  const Json expected = {{"u8", 200},          {"i8", -5},
                         {"u16", 60000},       {"i16", -6},
                         {"u32", 7},           {"i32", -7},
                         {"f32", 0.5},         {"bool", true},
                         {"text", "é"},        {"u64", int64_t{1} << 60},
                         {"i64", -8},          {"f64", 0.25},
                         {"words", {"a", ""}}, {"none", Json::array()}};
  CHECK(found == expected);
}

TEST_CASE("gguf: tensors with shapes slowest first, and their bytes") {
  for (const uint32_t version : {2u, 3u}) {
    Builder builder;
    builder.version = version;
    builder.stored("m", {3, 2}, 0, floats({1, 2, 3, 4, 5, 6})).stored("s", {}, 0, floats({7}));
    const std::string image = builder.build();
    const GgufImage file = parse_gguf(bytes_of(image), "m.gguf");
    REQUIRE(file.tensors.size() == 2);
    CHECK(file.tensors[0].shape == std::vector<int64_t>{2, 3});
    CHECK(file.tensors[0].rows() == 2);
    std::vector<float> values(6);
    dequantize_gguf(file.tensors[0], values);
    CHECK(values == std::vector<float>{1, 2, 3, 4, 5, 6});
    CHECK(file.tensors[1].shape.empty());
    CHECK(file.tensors[1].elements() == 1);
  }
}

TEST_CASE("gguf: the file's alignment is honoured") {
  Builder builder;
  builder.alignment = 64;
  builder.key("general.alignment", 64u)
      .stored("a", {1}, 0, floats({1}))
      .stored("b", {1}, 0, floats({2}));
  const std::string image = builder.build();
  const GgufImage file = parse_gguf(bytes_of(image), "m.gguf");
  float value = 0;
  dequantize_gguf(file.tensors[1], std::span(&value, 1));
  CHECK(value == 2);
  for (const uint32_t wrong : {0u, 1u, 12u, 1u << 30}) {
    CHECK_THAT(refusal(Builder().key("general.alignment", wrong).build()),
               Contains("general.alignment"));
  }
  CHECK_THAT(refusal(Builder().key("general.alignment", std::string("32")).build()),
             Contains("general.alignment"));
}

TEST_CASE("gguf: blocks are expanded as the format says") {
  // Scale 0.5, minimum 2: nibble 1 gives 2.5, nibble 15 gives 9.5.
  const std::string block = Builder::number(half_from_float(0.5f)) +
                            Builder::number(half_from_float(2)) + std::string(16, '\xf1');
  const std::string image = Builder().stored("q", {32, 2}, 3, block + block).build();
  const GgufImage file = parse_gguf(bytes_of(image), "m.gguf");
  std::vector<float> values(32), all(64);
  dequantize_gguf_row(file.tensors[0], 1, values);
  dequantize_gguf(file.tensors[0], all);
  for (size_t i = 0; i < 32; ++i) {
    CHECK(values[i] == (i < 16 ? 2.5f : 9.5f));
    CHECK(all[32 + i] == values[i]);
  }
  CHECK_THROWS_AS(dequantize_gguf_row(file.tensors[0], 2, values), std::logic_error);
  CHECK_THROWS_AS(dequantize_gguf(file.tensors[0], values), std::logic_error);
}

TEST_CASE("gguf: what is not a GGUF file of version 2 or 3 is refused") {
  CHECK(refusal(Builder().build()) == "accepted");
  CHECK_THAT(refusal(""), Contains("truncated"));
  CHECK_THAT(refusal("GGU"), Contains("truncated"));
  Builder builder;
  builder.magic = "GGML";
  CHECK_THAT(refusal(builder.build()), Contains("is not a GGUF file"));
  builder.magic = "GGUF";
  for (const uint32_t version : {0u, 1u, 4u}) {
    builder.version = version;
    CHECK_THAT(refusal(builder.build()), Contains("GGUF version is not supported"));
  }
  builder.version = 3u << 24;
  CHECK_THAT(refusal(builder.build()), Contains("big-endian"));
}

TEST_CASE("gguf: counts beyond the file are refused before allocation") {
  Builder tensors, keys;
  tensors.extra_tensors = uint64_t{1} << 60;
  CHECK_THAT(refusal(tensors.build()), Contains("impossible number of tensors"));
  keys.extra_keys = ~uint64_t{0};
  CHECK_THAT(refusal(keys.build()), Contains("impossible number of metadata keys"));
  CHECK_THAT(refusal(Builder().array("a", 0, uint64_t{1} << 62, "xx").build()),
             Contains("key 'a': impossible number of array elements"));
  CHECK_THAT(refusal(Builder().array("a", 8, 3, std::string(16, '\0')).build()),
             Contains("impossible number of array elements"));
  CHECK_THAT(refusal(Builder().key("a", 8, Builder::number(~uint64_t{0}) + "xx").build()),
             Contains("key 'a': impossible number of bytes in a string"));
  CHECK_THAT(refusal(Builder().array("a", 0, 10'000'001, std::string(10'000'001, 'x')).build()),
             Contains("at most 10000000"));
}

TEST_CASE("gguf: bad keys and values are refused by name") {
  CHECK_THAT(refusal(Builder().key("a", 1u).key("b", 2u).key("a", 3u).build()),
             Contains("key 'a': duplicate key"));
  CHECK_THAT(refusal(Builder().key("", 1u).build()), Contains("the key is empty"));
  CHECK_THAT(refusal(Builder().key(std::string(65'536, 'k'), 1u).build()),
             Contains("bytes in a key"));
  CHECK_THAT(refusal(Builder().key("a", 13, "12345678").build()),
             Contains("key 'a': unknown value type"));
  CHECK_THAT(refusal(Builder().array("a", 99, 0, "").build()), Contains("unknown value type"));
  CHECK_THAT(refusal(Builder().array("a", 9, 1, std::string(12, '\0')).build()),
             Contains("array inside an array"));
  CHECK_THAT(refusal(Builder().key("a", 7, "\2").build()), Contains("0 or 1"));
  CHECK_THAT(refusal(Builder().key("a\n\x1b[31m", 13, "12345678").build()),
             Contains("a\\x0a\\x1b[31m"));
}

TEST_CASE("gguf: shapes that overflow or do not fit their blocks are refused") {
  const auto shape = [](const std::vector<uint64_t>& sizes, uint32_t type = 0) {
    return refusal(Builder().tensor("t", sizes, type, 0).data(std::string(64, 'x')).build());
  };
  CHECK(shape({16}) == "accepted");
  CHECK_THAT(shape({uint64_t{1} << 32, uint64_t{1} << 32}),
             Contains("tensor 't': the shape is too large"));
  CHECK_THAT(shape({uint64_t{1} << 21, uint64_t{1} << 21, uint64_t{1} << 22}),
             Contains("too large"));
  CHECK_THAT(shape({uint64_t{1} << 62}), Contains("too large"));  // 2^62 x 4 bytes
  CHECK_THAT(shape({uint64_t{1} << 63}), Contains("must be positive"));
  CHECK_THAT(shape({0}), Contains("must be positive"));
  CHECK_THAT(shape({1, 1, 1, 1, 1}), Contains("too many dimensions"));
  CHECK_THAT(shape({33}, 2), Contains("not a whole number of Q4_0 blocks"));
  CHECK_THAT(shape({128, 2}, 12), Contains("not a whole number of Q4_K blocks"));
  CHECK_THAT(shape({16}, 21), Contains("tensor type is not supported (expected F32"));
  CHECK_THAT(shape({16}, 21), Contains("found IQ3_S"));
}

TEST_CASE("gguf: data outside the file or shared by two tensors is refused") {
  const std::string data(96, 'x');
  const auto pair = [&](uint64_t first, uint64_t second) {
    return refusal(
        Builder().tensor("a", {8}, 0, first).tensor("b", {8}, 0, second).data(data).build());
  };
  CHECK(pair(0, 32) == "accepted");
  CHECK(pair(64, 0) == "accepted");
  CHECK_THAT(pair(0, 0), Contains("overlaps another tensor's"));
  CHECK_THAT(pair(0, 96), Contains("tensor 'b': the file is truncated or corrupt"));
  CHECK_THAT(pair(0, ~uint64_t{31}), Contains("tensor 'b': the data offset is too large"));
  CHECK_THAT(pair(0, 40), Contains("tensor 'b': the data offset is not aligned"));
  CHECK_THAT(refusal(Builder().tensor("a", {16}, 0, 0).tensor("b", {8}, 0, 32).data(data).build()),
             Contains("overlaps"));
  CHECK_THAT(refusal(Builder().tensor("a", {16}, 0, 64).data(data).build()),
             Contains("truncated or corrupt"));
}

TEST_CASE("gguf: bad tensor names are refused") {
  const auto named = [](const std::string& name) {
    return refusal(Builder().tensor(name, {1}, 0, 0).data("1234").build());
  };
  CHECK(named(std::string(63, 'n')) == "accepted");
  CHECK_THAT(named(std::string(64, 'n')),
             Contains("tensor 0: impossible number of bytes in a tensor name"));
  CHECK_THAT(named(""), Contains("the tensor name is empty"));
  CHECK_THAT(refusal(Builder()
                         .tensor("a", {1}, 0, 0)
                         .tensor("a", {1}, 0, 32)
                         .data(std::string(36, 'x'))
                         .build()),
             Contains("tensor 'a': duplicate tensor name"));
}

TEST_CASE("gguf: every truncation of a file is refused") {
  const std::string image = Builder()
                                .key("general.architecture", std::string("llama"))
                                .array("list", 4, 3, std::string(12, 'x'))
                                .stored("a", {8}, 0, std::string(32, 'x'))
                                .stored("b", {32}, 2, std::string(18, 'x'))
                                .build();
  CHECK(refusal(image) == "accepted");
  for (size_t length = 0; length < image.size(); ++length) {
    INFO(length);
    CHECK(refusal(image.substr(0, length)) != "accepted");
  }
}

TEST_CASE("float16: widening and narrowing agree for every half") {
  for (uint32_t bits = 0; bits < 65'536; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float wide = float_from_half(half);
    if (std::isnan(wide)) {
      CHECK(std::isnan(float_from_half(half_from_float(wide))));
    } else if (half_from_float(wide) != half) {
      FAIL("half " << bits);
    }
    const float brain = float_from_bfloat16(half);
    if (!std::isnan(brain) && bfloat16_from_float(brain) != half) FAIL("bfloat16 " << bits);
  }
  CHECK(std::isnan(float_from_bfloat16(bfloat16_from_float(std::nanf("")))));
}

TEST_CASE("float16: ties go to even and overflow to infinity") {
  CHECK(half_from_float(65519.996f) == 0x7bff);
  CHECK(half_from_float(65520.0f) == 0x7c00);
  CHECK(half_from_float(-1e30f) == 0xfc00);
  CHECK(half_from_float(2049.0f) == half_from_float(2048.0f));
  CHECK(half_from_float(2051.0f) == half_from_float(2052.0f));
  CHECK(half_from_float(0x1p-25f) == 0);
  CHECK(half_from_float(0x1.8p-24f) == 2);
  CHECK(bfloat16_from_float(256.5f) == bfloat16_from_float(256.0f));
  CHECK(bfloat16_from_float(259.0f) == bfloat16_from_float(260.0f));
}

}  // namespace
}  // namespace gradus
