# What a distribution packages: server, modules as files, and the SDK for module authors.
#
# The installed tree may be moved as a whole: the CMake package and the .pc file find their places
# from where they lie, the server looks for modules beside itself before it looks in SX_PLUGIN_DIR.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# The ABI major stands in the directory's name, so that two majors live side by side.
file(STRINGS ${CMAKE_SOURCE_DIR}/sdk/include/sextant/sx_plugin.h abi
     REGEX "^#define SX_ABI_(MAJOR|MINOR) +[0-9]+$")
string(REGEX REPLACE "^.*MAJOR +([0-9]+).*MINOR +([0-9]+).*$" "\\1.\\2" SX_ABI "${abi}")
string(REGEX REPLACE "\\..*$" "" SX_ABI_MAJOR ${SX_ABI})
set(SX_PLUGIN_DIR ${CMAKE_INSTALL_LIBDIR}/sextant/plugins-${SX_ABI_MAJOR})
set_source_files_properties(${CMAKE_SOURCE_DIR}/kernel/loader.c PROPERTIES COMPILE_DEFINITIONS
    SX_PLUGIN_DIR="${CMAKE_INSTALL_FULL_LIBDIR}/sextant/plugins-${SX_ABI_MAJOR}")

install(TARGETS sextant RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS ${SX_PLUGIN_FILES} LIBRARY DESTINATION ${SX_PLUGIN_DIR})
if(SX_ALL_SHARED)
    install(TARGETS ${SX_PLUGINS} LIBRARY DESTINATION ${SX_PLUGIN_DIR})
endif()
install(DIRECTORY ${CMAKE_SOURCE_DIR}/sdk/include/sextant DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS sextant-sdk ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS sextant-plugin-check RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS sextant-sdk-test ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${CMAKE_SOURCE_DIR}/sdk/suites/sx_suite.h ${CMAKE_SOURCE_DIR}/sdk/fake/sx_fake_host.h
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/sextant/test)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/sdk/skeleton DESTINATION ${CMAKE_INSTALL_DATADIR}/sextant)

set(SX_CONFIG_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/Sextant)
configure_package_config_file(${CMAKE_SOURCE_DIR}/sdk/cmake/SextantConfig.cmake.in
    ${CMAKE_BINARY_DIR}/SextantConfig.cmake INSTALL_DESTINATION ${SX_CONFIG_DIR})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/SextantConfigVersion.cmake
    VERSION ${PROJECT_VERSION} COMPATIBILITY SameMajorVersion)
install(FILES ${CMAKE_BINARY_DIR}/SextantConfig.cmake ${CMAKE_BINARY_DIR}/SextantConfigVersion.cmake
        DESTINATION ${SX_CONFIG_DIR})

# From the folder of the .pc file up to the prefix.
file(RELATIVE_PATH SX_PC_TO_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" SX_PC_TO_PREFIX ${SX_PC_TO_PREFIX})
configure_file(${CMAKE_SOURCE_DIR}/sdk/cmake/sextant-sdk.pc.in ${CMAKE_BINARY_DIR}/sextant-sdk.pc
               @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/sextant-sdk.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
