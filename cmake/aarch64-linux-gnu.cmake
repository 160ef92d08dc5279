# Toolchain file: builds for 64-bit Arm Linux with Debian's cross compiler and runs tests under QEMU.
#   cmake -S . -B build-arm64 -DCMAKE_TOOLCHAIN_FILE=cmake/aarch64-linux-gnu.cmake -DTAPEGRAD_ADDON=OFF
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
find_program(TAPEGRAD_QEMU NAMES qemu-aarch64 qemu-aarch64-static)
if(TAPEGRAD_QEMU)
  set(CMAKE_CROSSCOMPILING_EMULATOR "${TAPEGRAD_QEMU};-L;/usr/aarch64-linux-gnu")
endif()
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
