/* rtnetlink as bytes that Python has built, and the pool of ready network namespaces.
 *
 * Making a network namespace takes 0.3 ms and taking it down 0.5 ms of kernel time. The namespaces of containers
 * without a network belong to the monitor, not to the container: nothing inside can change one. If in addition no
 * packet ever passed its loopback, the next container cannot tell it from a new one, and gets it. */
#include "monitor.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>

enum { POOL_MAX = 64 };

static struct {
    struct plan recipe;                                /* what makes a new namespace ready */
    int target, count, fds[POOL_MAX];
} pool;

static int netlink_open(void)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    return fd < 0 ? -errno : fd;
}

/* The requests ask for an acknowledgement each: as many answers as requests, the first error ends it. */
static int netlink_transact(int fd, const char *requests, size_t size)
{
    char buffer[8192];
    int expected = 0;
    for (size_t at = 0; at + sizeof(struct nlmsghdr) <= size; expected++) {
        struct nlmsghdr head;
        memcpy(&head, requests + at, sizeof head);
        if (head.nlmsg_len < sizeof head || head.nlmsg_len > size - at)
            return -EINVAL;
        at += NLMSG_ALIGN(head.nlmsg_len);
    }
    if (send(fd, requests, size, 0) < 0)
        return -errno;
    while (expected >
           0) { /* rtnetlink has answered when send returns: a request that asked for no answer is an error */
        ssize_t count = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
        if (count < 0)
            return -errno;
        size_t left = (size_t)count;
        for (struct nlmsghdr *message = (struct nlmsghdr *)buffer; NLMSG_OK(message, left);
             message = NLMSG_NEXT(message, left)) {
            if (message->nlmsg_type != NLMSG_ERROR)
                continue;
            int error = ((struct nlmsgerr *)NLMSG_DATA(message))->error;
            if (error)
                return error;
            expected--;
        }
    }
    return 0;
}

OPERATION(op_netlink)
{
    int fd = netlink_open();
    if (fd < 0)
        return fd;
    int result = netlink_transact(fd, text_at(plan, op->text[0]), op->num[0]);
    close(fd);
    return result;
}

static int make_ready(void)
{
    if (unshare(CLONE_NEWNET))
        return -errno;
    int result = run_ops(&pool.recipe, 0, pool.recipe.head.inside);
    int fd = result < 0 ? result : openat(monitor.proc, "thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (result >= 0 && fd < 0)
        fd = -errno;
    if (setns(monitor.net_ns, CLONE_NEWNET))
        abort();                                       /* lost in a container's network: nothing good can follow */
    return fd;
}

/* The recipe outlives the request that brought it, so it is copied. */
void pool_configure(const struct plan *plan, int first, int count, int target)
{
    struct kb_op *ops = malloc((size_t)count * sizeof *ops);
    char *text = malloc(plan->head.text_size);
    struct kb_traced *trace = calloc((size_t)count, sizeof *trace);
    if (!ops || !text || !trace)
        abort();
    memcpy(ops, plan->ops + first, (size_t)count * sizeof *ops);
    memcpy(text, plan->text, plan->head.text_size);
    free((void *)(uintptr_t)pool.recipe.ops);
    free((void *)(uintptr_t)pool.recipe.text);
    free(pool.recipe.trace);
    pool.recipe = (struct plan){.ops = ops, .text = text, .trace = trace, .failed_op = -1};
    pool.recipe.head.inside = (uint16_t)count;
    pool.recipe.head.fail_op = -1;
    for (int slot = 0; slot < KB_SHARED_SLOTS; slot++)
        pool.recipe.slots[slot] = -1;
    pool.target = target < POOL_MAX ? target : POOL_MAX;
}

bool pool_refill_one(void)
{
    if (pool.count >= pool.target)
        return false;
    int fd = make_ready();
    if (fd < 0)
        pool.target = pool.count;                      /* the next launch tries again and reports why it cannot be */
    else
        pool.fds[pool.count++] = fd;
    return pool.count < pool.target;
}

OPERATION(op_take_netns) { return keep_fd(plan, op->slot[3], pool.count ? pool.fds[--pool.count] : make_ready()); }

struct dump_request {
    struct nlmsghdr head;
    struct ifinfomsg link;
};

static bool loopback_unused(const struct nlmsghdr *message)
{
    const struct ifinfomsg *link = NLMSG_DATA(message);
    unsigned int left = (unsigned int)IFLA_PAYLOAD(message);
    if (!(link->ifi_flags & IFF_LOOPBACK))
        return false;
    for (struct rtattr *part = IFLA_RTA(link); RTA_OK(part, left); part = RTA_NEXT(part, left)) {
        struct rtnl_link_stats64 counters;
        if (part->rta_type != IFLA_STATS64 || RTA_PAYLOAD(part) < 32)
            continue;
        memset(&counters, 0, sizeof counters);
        memcpy(&counters, RTA_DATA(part), RTA_PAYLOAD(part) < sizeof counters ? RTA_PAYLOAD(part) : sizeof counters);
        return !counters.rx_packets && !counters.tx_packets;
    }
    return false;
}

/* Counters of every link in the current network namespace; 1 where all is a loopback that nothing passed. */
static int read_links(uint32_t key)
{
    char buffer[16384];
    struct dump_request request = {
        .head = {sizeof request, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0},
        .link = {.ifi_family = AF_UNSPEC},
    };
    int links = 0, unused = 0, result = 1;
    int fd = netlink_open();
    if (fd < 0)
        return fd;
    if (send(fd, &request, sizeof request, 0) < 0)
        result = -errno;
    while (result == 1) {
        ssize_t count = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
        if (count <= 0) {
            result = count < 0 ? -errno : -EIO;
            break;
        }
        record_add(key, buffer, (size_t)count);
        size_t left = (size_t)count;
        for (struct nlmsghdr *message = (struct nlmsghdr *)buffer; NLMSG_OK(message, left);
             message = NLMSG_NEXT(message, left)) {
            if (message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR)
                result = 0;
            if (message->nlmsg_type == RTM_NEWLINK) {
                links++;
                unused += loopback_unused(message);
            }
        }
    }
    close(fd);
    return result < 0 ? result : links == 1 && unused == 1;
}

OPERATION(op_give_netns)
{
    int fd = slot_fd(plan, op->slot[0]);
    if (fd < 0)
        return 0;                                      /* the launch failed before it had one */
    if (setns(fd, CLONE_NEWNET))
        return -errno;
    int result = read_links((uint32_t)op->num[0]);
    if (setns(monitor.net_ns, CLONE_NEWNET))
        abort();
    if (result < 0)
        return result;
    if (result && op->num[1] && pool.count < POOL_MAX && pool.count <= pool.target) {
        int again = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (again >= 0)
            pool.fds[pool.count++] = again;
    }
    return 0;
}
