# What `cmake --install` writes: library, header, and how find_package and pkg-config find them.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(EDGE_CONFIG_FOLDER ${CMAKE_INSTALL_LIBDIR}/cmake/edge_runtime)
install(TARGETS edge_runtime EXPORT edge_runtime
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES ${PROJECT_SOURCE_DIR}/include/edge_runtime.h
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

# find_package(edge_runtime 0.1): the target edge_runtime::edge_runtime. It needs no other
# package, so the exported targets are the whole configuration.
install(EXPORT edge_runtime NAMESPACE edge_runtime:: FILE edge_runtime-config.cmake
  DESTINATION ${EDGE_CONFIG_FOLDER})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/edge_runtime-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/edge_runtime-config-version.cmake
  DESTINATION ${EDGE_CONFIG_FOLDER})

# pkg-config: paths from the file's own place, so that the installed folder can be moved.
file(RELATIVE_PATH EDGE_PREFIX_FROM_PC /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" EDGE_PREFIX_FROM_PC "${EDGE_PREFIX_FROM_PC}")
configure_file(${PROJECT_SOURCE_DIR}/cmake/edge_runtime.pc.in
  ${PROJECT_BINARY_DIR}/edge_runtime.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/edge_runtime.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
