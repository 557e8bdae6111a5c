#include "server/privilege.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool refuse(struct out *why, const char *user, const char *reason)
{
    out_str(why, "--user ");
    out_str(why, user);
    out_str(why, ": ");
    out_str(why, reason);
    return false;
}

static const struct passwd *find(const char *user, struct out *why)
{
    const struct passwd *pw;

    errno = 0;
    pw = getpwnam(user);
    if (!pw)
        refuse(why, user, errno ? strerror(errno) : "no such account on this system");
    else if (pw->pw_uid == 0)
        refuse(why, user, "that is root; name an account without privileges");
    return pw && pw->pw_uid != 0 ? pw : NULL;
}

/* The one capability that outlives the change of the effective user. */
static bool keep_low_ports(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

    if (syscall(SYS_capget, &head, data) != 0)
        return false;
    data[0].effective = 1u << CAP_NET_BIND_SERVICE;
    data[1].effective = 0;
    return syscall(SYS_capset, &head, data) == 0;
}

bool privilege_enter(const char *user, const char *data, struct out *why)
{
    const struct passwd *pw = find(user, why);

    if (!pw)
        return false;
    if (mkdir(data, 0700) == 0 && chown(data, pw->pw_uid, pw->pw_gid) != 0)
        return refuse(why, user, strerror(errno));
    if (initgroups(user, pw->pw_gid) != 0 ||
        setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) != 0 || seteuid(pw->pw_uid) != 0 ||
        !keep_low_ports())
        return refuse(why, user, strerror(errno));
    return true;
}

static bool become(const char *user, struct out *why)
{
    const struct passwd *pw = find(user, why);

    if (!pw)
        return false;
    if (seteuid(0) != 0 || setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) != 0)
        return refuse(why, user, strerror(errno));
    if (setuid(0) == 0 || seteuid(0) == 0)
        return refuse(why, user, "root could be regained");
    return true;
}

bool privilege_drop(const char *user, struct out *why)
{
    if (user && !become(user, why))
        return false;
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* a change of user would set it again */
    return true;
}

void privilege_fix(void)
{
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}
