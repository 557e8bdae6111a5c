# Flags, accounts, logins, the control socket and the sub-commands; main.c is the
# executable's.
list(APPEND SERVER_SOURCES accounts.c accounts_domains.c accounts_users.c aliases.c auth.c auth_tables.c
    command.c command_check.c command_reshard.c command_serve.c command_stat.c stat_figures.c stat_json.c stat_text.c command_user.c config.c
    config_file.c config_finish.c config_help.c control.c control_stat.c file.c forward.c forward_key.c idn.c log.c
    logins.c names.c network.c notify.c pages.c password.c privilege.c removal.c removal_list.c
    route.c senders.c sessions.c srs_keys.c)
list(APPEND SERVER_LIBRARIES crypt)
set_source_files_properties(main.c command.c command_serve.c control.c PROPERTIES
    COMPILE_DEFINITIONS RINGMAIL_VERSION="${PROJECT_VERSION}")

# The manual page is what the program says of itself.
install(CODE "
    set(page \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/share/man/man8\")
    file(MAKE_DIRECTORY \"\${page}\")
    execute_process(COMMAND \"${PROJECT_BINARY_DIR}/ringmail\" help --man
        OUTPUT_FILE \"\${page}/ringmail.8\" COMMAND_ERROR_IS_FATAL ANY)")
