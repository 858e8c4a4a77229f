// SPDX-License-Identifier: Apache-2.0
// Asio without its coroutines, which Boost 1.74 and newer compilers disagree about.
#pragma once

#define BOOST_ASIO_DISABLE_CO_AWAIT

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>

namespace gradus {
namespace asio = boost::asio;
using boost::asio::ip::tcp;
using boost::system::error_code;
}  // namespace gradus
