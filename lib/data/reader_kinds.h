// SPDX-License-Identifier: Apache-2.0
// The readers behind open_reader().
#pragma once

#include "data/byte_stream.h"
#include "data/reader.h"

namespace gradus {

std::unique_ptr<RecordReader> json_lines_reader(std::unique_ptr<ByteStream> stream,
                                                const ReaderOptions& options);
std::unique_ptr<RecordReader> text_reader(std::unique_ptr<ByteStream> stream,
                                          const ReaderOptions& options);
// `where` names the file in errors about its header.
std::unique_ptr<RecordReader> csv_reader(std::unique_ptr<ByteStream> stream,
                                         const ReaderOptions& options, const std::string& where);

// "longer than max_record_bytes (16777216)"
std::string too_long_problem(int64_t max_record_bytes);

}  // namespace gradus
