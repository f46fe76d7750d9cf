# libFuzzer targets, built with clang; they link sources, never files (clang's address sanitizer
# does not go with -z defs).
function(sx_fuzz_program path)
    get_filename_component(name ${path} NAME_WE)
    sx_test_program(${path} ${name})
    target_compile_options(${name} PRIVATE -fsanitize=fuzzer)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
endfunction()
file(GLOB SX_FUZZERS CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/fuzz/fuzz_*.c)
foreach(path ${SX_FUZZERS})
    sx_fuzz_program(${path})
endforeach()
