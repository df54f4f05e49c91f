# bayesflow_hdf5: HDF5 inside the extension module, for wheels. Debian's shared HDF5 can read files from the web, and would bring curl, OpenSSL, Kerberos, LDAP and twenty
# more libraries into a wheel; nothing here uses that, and the linker leaves it out of a static library. Hidden symbols, so that another HDF5 in the same process (h5py's,
# PyTables') is never mixed with this one.
#
# Debian compiles the archive for executables (-fPIE): in a shared library all of it is fine but the two variables of the C library that it reads. They get names of our
# own, and hidden variables of these names.
find_program(objcopy_program objcopy REQUIRED)
foreach(name hdf5 sz aec z)
  find_library(bundled_${name} lib${name}.a HINTS ${hdf5_LIBRARY_DIRS} REQUIRED)
endforeach()

set(bundled ${CMAKE_BINARY_DIR}/bundled)
file(WRITE ${bundled}/streams.cpp "#include <cstdio>
extern \"C\" {
__attribute__((visibility(\"hidden\"))) std::FILE* bundled_stderr = stderr;
__attribute__((visibility(\"hidden\"))) std::FILE* bundled_stdout = stdout;
}
")
execute_process(COMMAND ${objcopy_program} --redefine-sym stderr=bundled_stderr --redefine-sym stdout=bundled_stdout ${bundled_hdf5} ${bundled}/libhdf5.a
                COMMAND_ERROR_IS_FATAL ANY)

add_library(bayesflow_hdf5 INTERFACE)
target_sources(bayesflow_hdf5 INTERFACE ${bundled}/streams.cpp)
target_include_directories(bayesflow_hdf5 SYSTEM INTERFACE ${hdf5_INCLUDE_DIRS})
target_link_libraries(bayesflow_hdf5 INTERFACE ${bundled}/libhdf5.a ${bundled_sz} ${bundled_aec} ${bundled_z} ${CMAKE_DL_LIBS} m)
target_link_options(bayesflow_hdf5 INTERFACE LINKER:--exclude-libs,ALL LINKER:--gc-sections)

# The licences of what is inside go with it.
foreach(package libhdf5-dev libaec-dev zlib1g-dev libfmt-dev libhwy-dev)
  if(EXISTS /usr/share/doc/${package}/copyright)
    install(FILES /usr/share/doc/${package}/copyright DESTINATION bayesflow_cpp/licenses RENAME ${package}.txt COMPONENT python)
  endif()
endforeach()
