/* What two processes of ours tell each other over a socket: one number and one descriptor. */
#include "monitor.h"

#include <sys/socket.h>

int note_send(int socket, struct note note)
{
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {.head = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    struct iovec part = {&note.error, sizeof note.error};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (note.fd >= 0) {
        memcpy(CMSG_DATA(&control.head), &note.fd, sizeof note.fd);
        message.msg_control = &control;
        message.msg_controllen = sizeof control.space;
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL) == sizeof note.error ? 0 : -errno;
}

struct note note_receive(int socket, int flags)
{
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct note note = {ECHILD, -1};
    struct iovec part = {&note.error, sizeof note.error};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.space};
    ssize_t count;
    while ((count = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | flags)) < 0 && errno == EINTR)
        ;
    if (count != sizeof note.error)
        return (struct note){ECHILD, -1};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (head && head->cmsg_type == SCM_RIGHTS)
        memcpy(&note.fd, CMSG_DATA(head), sizeof note.fd);
    return note;
}
