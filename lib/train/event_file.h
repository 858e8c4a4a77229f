// SPDX-License-Identifier: Apache-2.0
// TensorBoard's event file, for scalars only. A file is a sequence of TFRecords:
//   u64 length | u32 masked CRC-32C of length | data | u32 masked CRC-32C of data, little-endian,
// whose data are Event protocol buffers (tensorflow/core/util/event.proto): wall_time = 1,
// step = 2, file_version = 3, summary = 5 { value = 1 { tag = 1, simple_value = 2 } }.
// Not a goal: images, histograms, several writers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "train/append_file.h"

namespace gradus {

using Scalars = std::vector<std::pair<std::string, double>>;

class EventFile {
 public:
  // `keep_bytes` as for AppendFile; an empty file gets the header event.
  EventFile(const fs::path& path, int64_t keep_bytes);
  void add(int64_t step, const Scalars& scalars);
  int64_t bytes() const { return file_.bytes(); }
  void sync() { file_.sync(); }

 private:
  void write_record(const std::string& event);
  AppendFile file_;
};

uint32_t crc32c(std::string_view bytes);

}  // namespace gradus
