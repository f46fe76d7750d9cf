# Compiler and linker flags of every target.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_C_FLAGS_RELEASE "-O2 -g -DNDEBUG")
set(CMAKE_C_FLAGS_DEBUG "-O1 -g -fno-omit-frame-pointer -DSX_DEBUG=1")

add_compile_options(
    -fno-common -fstack-protector-strong
    -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef -Wformat=2
    -Wcast-qual -Wpointer-arith -Wimplicit-fallthrough)
if(SX_WERROR)
    add_compile_options(-Werror)
endif()
if(SX_SANITIZE)
    add_compile_options(-fsanitize=${SX_SANITIZE} -fno-sanitize-recover=all)
    add_link_options(-fsanitize=${SX_SANITIZE})
else()
    add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -ffunction-sections -fdata-sections)
    add_link_options(-Wl,--gc-sections)
endif()
add_link_options(-Wl,-z,relro,-z,now,--as-needed)
add_compile_definitions(_GNU_SOURCE)
if(SX_SMALL_CHUNKS)
    add_compile_definitions(SX_SMALL_CHUNKS=1)
endif()

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(LIBEVENT REQUIRED IMPORTED_TARGET libevent_core libevent_pthreads)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)

# Debian's libltdl ships no .pc file.
if(NOT SX_WITHOUT_LTDL)
    find_path(LTDL_INCLUDE ltdl.h REQUIRED)
    find_library(LTDL_LIBRARY ltdl REQUIRED)
endif()

# The strict level of the ABI: modules and server of one build. What decides is the text of the
# headers they share.
file(GLOB SX_HEADERS ${CMAKE_SOURCE_DIR}/sdk/include/sextant/*.h)
set(SX_BUILD_ID "${SX_SMALL_CHUNKS}") # files and views of such a build are its own
foreach(h ${SX_HEADERS})
    file(SHA256 ${h} one)
    string(APPEND SX_BUILD_ID ${one})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${h})
endforeach()
string(SHA256 SX_BUILD_ID "${SX_BUILD_ID}")
string(SUBSTRING ${SX_BUILD_ID} 0 40 SX_BUILD_ID)
add_compile_definitions(SX_BUILD_ID="${SX_BUILD_ID}" SX_VERSION="${PROJECT_VERSION}")
