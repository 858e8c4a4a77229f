// SPDX-License-Identifier: Apache-2.0
#include "model/formats/safetensors.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <limits>
#include <optional>
#include <set>
#include <stdexcept>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "model/formats/safetensors_dtype.h"

namespace gradus {
namespace {

static_assert(std::endian::native == std::endian::little, "tensor data is used in place");

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the limit of the reference implementation
constexpr size_t kMaxRank = 64;

[[noreturn]] void fail(std::string what, std::string where) {
  throw Error({.what = std::move(what), .where = std::move(where)});
}

struct Entry {
  std::string name;
  std::string dtype;
  std::vector<uint64_t> shape;
  std::vector<uint64_t> offsets;
};

// Builds entries straight from the parser's events: what does not belong into a safetensors header
// is refused when it appears, so depth and memory are bounded by the header's own size.
class HeaderReader : public nlohmann::json_sax<Json> {
 public:
  explicit HeaderReader(const std::string& where) : where_(where) {}

  std::vector<Entry> entries;
  SafetensorsMetadata metadata;

  bool start_object(size_t) override {
    if (level_ == Level::kNothing) return enter(Level::kHeader);
    if (level_ != Level::kHeader) unexpected("an object");
    return enter(key_ == "__metadata__" ? Level::kMetadata : Level::kTensor);
  }

  bool key(std::string& name) override {
    if (level_ == Level::kHeader) {
      if (!names_.insert(name).second) fail("duplicate key '" + printable(name) + "'", where_);
      if (name != "__metadata__")
        entries.push_back({.name = name, .dtype = {}, .shape = {}, .offsets = {}});
      seen_.clear();
    } else if (level_ == Level::kMetadata) {
      if (metadata.contains(name)) fail("duplicate metadata key '" + printable(name) + "'", where_);
    } else if (name != "dtype" && name != "shape" && name != "data_offsets") {
      fail("unknown key '" + printable(name) + "'", place());
    } else if (!seen_.insert(name).second) {
      fail("duplicate key '" + name + "'", place());
    }
    key_ = name;
    return true;
  }

  bool end_object() override {
    if (level_ == Level::kTensor) finish_tensor();
    level_ = level_ == Level::kHeader ? Level::kNothing : Level::kHeader;
    return true;
  }

  bool string(std::string& text) override {
    if (level_ == Level::kMetadata) {
      metadata.emplace(key_, text);
    } else if (level_ == Level::kTensor && key_ == "dtype") {
      entries.back().dtype = text;
    } else {
      unexpected("a string");
    }
    return true;
  }

  bool start_array(size_t) override {
    if (level_ != Level::kTensor || key_ == "dtype") unexpected("an array");
    return enter(Level::kNumbers);
  }

  bool end_array() override { return enter(Level::kTensor); }

  bool number_unsigned(uint64_t number) override {
    if (level_ != Level::kNumbers) unexpected("a number");
    auto& numbers = key_ == "shape" ? entries.back().shape : entries.back().offsets;
    if (numbers.size() == (key_ == "shape" ? kMaxRank : 2))
      fail("'" + key_ + "' is too long", place());
    numbers.push_back(number);
    return true;
  }

  bool null() override { unexpected("null"); }
  bool boolean(bool) override { unexpected("a truth value"); }
  bool number_integer(int64_t) override { unexpected("a negative number"); }
  bool number_float(double, const std::string&) override { unexpected("a fraction"); }
  bool binary(Json::binary_t&) override { unexpected("binary data"); }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    fail(cat("the header is not valid JSON near its byte ", position), where_);
  }

 private:
  enum class Level { kNothing, kHeader, kMetadata, kTensor, kNumbers };

  bool enter(Level level) {
    level_ = level;
    return true;
  }

  std::string place() const {
    const bool in_tensor = level_ == Level::kTensor || level_ == Level::kNumbers;
    return in_tensor ? where_ + ": " + printable(entries.back().name) : where_;
  }

  [[noreturn]] void unexpected(const char* what) const {
    fail(cat("the header holds ", what, " where none belongs",
             key_.empty() ? "" : " (after key '" + printable(key_) + "')"),
         place());
  }

  void finish_tensor() const {
    const Entry& entry = entries.back();
    if (entry.dtype.empty()) fail("'dtype' is missing", place());
    if (!seen_.contains("shape")) fail("'shape' is missing", place());
    if (entry.offsets.size() != 2) fail("'data_offsets' is not a pair", place());
  }

  const std::string& where_;
  Level level_ = Level::kNothing;
  std::string key_;
  std::set<std::string> names_;  // of the whole header
  std::set<std::string> seen_;   // keys of the current tensor
};

// The header's text, its length checked against the limit and the file.
std::string_view header_text(std::span<const std::byte> image, const std::string& where) {
  uint64_t length = 0;
  if (image.size() < sizeof length) {
    throw Error({.what = "the file is too short",
                 .where = where,
                 .expected = "at least 8 bytes",
                 .found = cat(image.size())});
  }
  std::memcpy(&length, image.data(), sizeof length);
  if (length > kMaxHeaderBytes) {
    throw Error({.what = "the header is too large or this is not a safetensors file",
                 .where = where,
                 .expected = cat("at most ", kMaxHeaderBytes, " bytes"),
                 .found = cat(length)});
  }
  if (length > image.size() - sizeof length) {
    throw Error({.what = "the file ends inside its header",
                 .where = where,
                 .expected = cat(length + sizeof length, " bytes or more"),
                 .found = cat(image.size())});
  }
  const std::string_view text(reinterpret_cast<const char*>(image.data()) + sizeof length, length);
  // The JSON parser takes NUL for the end and would leave what follows unchecked.
  if (text.find('\0') != std::string_view::npos) fail("the header holds a NUL byte", where);
  return text;
}

// dtype x shape in bytes; nullopt when that does not fit 63 bits.
std::optional<uint64_t> checked_bytes(const std::vector<uint64_t>& shape, uint64_t item_bytes) {
  uint64_t bytes = item_bytes;
  for (const uint64_t size : shape) {
    if (__builtin_mul_overflow(bytes, size, &bytes)) return std::nullopt;
    if (size > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
  }
  if (bytes > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
  return bytes;
}

void check_size(const Entry& entry, const std::string& where) {
  const std::string place = where + ": " + printable(entry.name);
  const auto item = static_cast<uint64_t>(safetensors_item_bytes(entry.dtype, place));
  const auto bytes = checked_bytes(entry.shape, item);
  if (!bytes) fail("the shape is too large", place);
  if (entry.offsets[1] < entry.offsets[0] || entry.offsets[1] - entry.offsets[0] != *bytes) {
    throw Error({.what = "data_offsets do not fit dtype and shape",
                 .where = place,
                 .expected = cat(*bytes, " bytes"),
                 .found = cat("[", entry.offsets[0], ", ", entry.offsets[1], "]")});
  }
}

// Ranges must follow one another from 0 to the end of the data. Sorts the entries by range.
void check_layout(std::vector<Entry>& entries, uint64_t data_bytes, const std::string& where) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.offsets, a.name) < std::tie(b.offsets, b.name);
  });
  uint64_t end = 0;
  for (const Entry& entry : entries) {
    check_size(entry, where);
    if (entry.offsets[0] != end) {
      throw Error({.what = entry.offsets[0] < end ? "data overlaps another tensor's"
                                                  : "there is a gap before the data",
                   .where = where + ": " + printable(entry.name),
                   .expected = cat("start ", end),
                   .found = cat(entry.offsets[0])});
    }
    end = entry.offsets[1];
  }
  if (end != data_bytes) {
    throw Error({.what = end > data_bytes ? "the file is truncated"
                                          : "the file has bytes that belong to no tensor",
                 .where = where,
                 .expected = cat(end, " bytes of data"),
                 .found = cat(data_bytes)});
  }
}

}  // namespace

SafetensorsImage parse_safetensors(std::span<const std::byte> image, const std::string& where) {
  const std::string_view header = header_text(image, where);
  HeaderReader reader(where);
  Json::sax_parse(header.begin(), header.end(), &reader);
  const auto data = image.subspan(sizeof(uint64_t) + header.size());
  check_layout(reader.entries, data.size(), where);

  SafetensorsImage result{.names = {}, .tensors = {}, .metadata = std::move(reader.metadata)};
  result.names.reserve(reader.entries.size());
  for (Entry& entry : reader.entries) {
    const uint64_t begin = entry.offsets[0];
    StoredTensor tensor{.dtype = std::move(entry.dtype),
                        .shape = {entry.shape.begin(), entry.shape.end()},
                        .bytes = data.subspan(begin, entry.offsets[1] - begin),
                        .file = nullptr,
                        .offset = 0};
    result.tensors.emplace(entry.name, std::move(tensor));
    result.names.push_back(std::move(entry.name));
  }
  return result;
}

FileReader::FileReader(const fs::path& path)
    : path_(path), descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (descriptor_ < 0) fail(cat("cannot open: ", std::strerror(errno)), path.string());
}

FileReader::~FileReader() { ::close(descriptor_); }

void FileReader::read(uint64_t at, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t got = ::pread(descriptor_, out.data(), out.size(), static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(cat("cannot read: ", std::strerror(errno)), path_.string());
    if (got == 0) fail("became shorter while it was read", path_.string());
    at += static_cast<uint64_t>(got);
    out = out.subspan(static_cast<size_t>(got));
  }
}

void StoredTensor::read(size_t at, std::span<std::byte> out) const {
  if (at > bytes.size() || out.size() > bytes.size() - at)
    throw std::logic_error("safetensors: read beyond a tensor");
  if (file)
    file->read(offset + at, out);
  else
    std::memcpy(out.data(), bytes.data() + at, out.size());
}

SafetensorsFile::SafetensorsFile(const fs::path& path)
    : file_(path), reader_(path), image_(parse_safetensors(file_.bytes(), path.string())) {
  for (auto& [name, tensor] : image_.tensors) {
    tensor.file = &reader_;
    tensor.offset = static_cast<uint64_t>(tensor.bytes.data() - file_.bytes().data());
  }
}

const StoredTensor& SafetensorsFile::at(const std::string& name) const {
  const auto found = image_.tensors.find(name);
  if (found != image_.tensors.end()) return found->second;
  const std::string nearest = nearest_name(name, image_.names);
  throw Error({.what = "has no tensor '" + printable(name) + "'",
               .where = path().string(),
               .hint = nearest.empty() ? "" : "did you mean '" + printable(nearest) + "'?"});
}

}  // namespace gradus
