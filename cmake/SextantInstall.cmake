# What a distribution packages: server, modules as files, and the SDK for module authors.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(SX_PLUGIN_DIR ${CMAKE_INSTALL_LIBDIR}/sextant/plugins-1)
install(TARGETS sextant RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
if(SX_ALL_SHARED)
    install(TARGETS ${SX_PLUGINS} LIBRARY DESTINATION ${SX_PLUGIN_DIR})
endif()
install(DIRECTORY ${CMAKE_SOURCE_DIR}/sdk/include/sextant DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS sextant-sdk ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET sextant-plugin-check)
    install(TARGETS sextant-plugin-check RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
    install(TARGETS sextant-sdk-test ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
    file(GLOB SX_TEST_HEADERS ${CMAKE_SOURCE_DIR}/sdk/suites/*.h ${CMAKE_SOURCE_DIR}/sdk/fake/*.h)
    install(FILES ${SX_TEST_HEADERS} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/sextant/test)
endif()
if(EXISTS ${CMAKE_SOURCE_DIR}/sdk/cmake/SextantConfig.cmake.in)
    configure_package_config_file(${CMAKE_SOURCE_DIR}/sdk/cmake/SextantConfig.cmake.in
        ${CMAKE_BINARY_DIR}/SextantConfig.cmake
        INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Sextant)
    write_basic_package_version_file(${CMAKE_BINARY_DIR}/SextantConfigVersion.cmake
        VERSION ${PROJECT_VERSION} COMPATIBILITY SameMajorVersion)
    install(FILES ${CMAKE_BINARY_DIR}/SextantConfig.cmake
                  ${CMAKE_BINARY_DIR}/SextantConfigVersion.cmake
            DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Sextant)
    configure_file(${CMAKE_SOURCE_DIR}/sdk/cmake/sextant-sdk.pc.in
                   ${CMAKE_BINARY_DIR}/sextant-sdk.pc @ONLY)
    install(FILES ${CMAKE_BINARY_DIR}/sextant-sdk.pc
            DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
    install(DIRECTORY ${CMAKE_SOURCE_DIR}/sdk/skeleton
            DESTINATION ${CMAKE_INSTALL_DATADIR}/sextant)
endif()
