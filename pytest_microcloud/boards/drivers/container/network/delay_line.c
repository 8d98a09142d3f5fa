/* delay_line QUEUE MICROSECONDS: accept each packet of a netfilter queue after a fixed time.
 *
 * It replaces sch_netem on kernels without that module. All packets wait for the same time, so they leave in the
 * order in which they came, and one netfilter verdict accepts all packets that are due. Prints "ready" once it is
 * bound to the queue. If it ends, the kernel drops the packets that the rule sends to the queue: the board is then
 * unreachable, but never faster. Without MICROSECONDS, it only checks that the kernel has netfilter queues.
 */
#define _GNU_SOURCE
#include <arpa/inet.h> /* must precede the kernel's headers, which then omit what it defines */
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <libnetfilter_queue/libnetfilter_queue.h>

#define MOST 65536u /* maximum number of waiting packets; a power of two */
#define RECEIVE_BYTES (16 << 20)

struct packet {
    uint32_t id;
    int64_t due_ns;
};

static struct packet line[MOST];
static uint32_t first, behind; /* the first waiting packet, and the one after the last; both only increase */
static int64_t delay_ns;

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void fail(const char *step) {
    perror(step);
    exit(EXIT_FAILURE);
}

/* Run as soon as a packet is due, as far as the host permits: with real-time priority, or, if containers may
 * not have that, with short time slices. Since Linux 6.12, a process with short slices preempts others. */
static void be_punctual(void) {
    struct sched_param before_all_others = {.sched_priority = 1};
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime_ns, deadline_ns, period_ns;
    } short_slices = {.size = 48, .policy = SCHED_OTHER, .nice = -20, .runtime_ns = 100000};
    if (sched_setscheduler(0, SCHED_FIFO, &before_all_others) != 0)
        syscall(SYS_sched_setattr, 0, &short_slices, 0);
    prctl(PR_SET_TIMERSLACK, 1L);
}

static int enter(const struct nlmsghdr *message, void *unused) {
    struct nlattr *attributes[NFQA_MAX + 1] = {0};
    (void)unused;
    if (nfq_nlmsg_parse(message, attributes) < 0 || attributes[NFQA_PACKET_HDR] == NULL)
        return MNL_CB_OK;
    struct nfqnl_msg_packet_hdr *header = mnl_attr_get_payload(attributes[NFQA_PACKET_HDR]);
    line[behind % MOST] = (struct packet){ntohl(header->packet_id), now_ns() + delay_ns};
    behind++;
    return MNL_CB_OK;
}

static void configure(struct mnl_socket *netlink, uint16_t queue) {
    char buffer[MNL_SOCKET_BUFFER_SIZE];
    struct nlmsghdr *message = nfq_nlmsg_put(buffer, NFQNL_MSG_CONFIG, queue);
    nfq_nlmsg_cfg_put_cmd(message, AF_INET, NFQNL_CFG_CMD_BIND);
    message->nlmsg_flags |= NLM_F_ACK;
    if (mnl_socket_sendto(netlink, message, message->nlmsg_len) < 0)
        fail("nfnetlink_queue");
    ssize_t size = mnl_socket_recvfrom(netlink, buffer, sizeof buffer);
    if (size < 0 || mnl_cb_run(buffer, size, 0, mnl_socket_get_portid(netlink), NULL, NULL) < 0)
        fail("binding the queue");
    message = nfq_nlmsg_put(buffer, NFQNL_MSG_CONFIG, queue);
    nfq_nlmsg_cfg_put_params(message, NFQNL_COPY_META, 0);
    mnl_attr_put_u32(message, NFQA_CFG_FLAGS, htonl(NFQA_CFG_F_GSO)); /* large segments stay whole */
    mnl_attr_put_u32(message, NFQA_CFG_MASK, htonl(NFQA_CFG_F_GSO));
    mnl_attr_put_u32(message, NFQA_CFG_QUEUE_MAXLEN, htonl(MOST));
    message->nlmsg_flags |= NLM_F_ACK;
    if (mnl_socket_sendto(netlink, message, message->nlmsg_len) < 0)
        fail("configuring the queue");
    size = mnl_socket_recvfrom(netlink, buffer, sizeof buffer);
    if (size < 0 || mnl_cb_run(buffer, size, 0, mnl_socket_get_portid(netlink), NULL, NULL) < 0)
        fail("configuring the queue");
}

static void accept_due(struct mnl_socket *netlink, uint16_t queue) {
    char buffer[MNL_SOCKET_BUFFER_SIZE];
    int64_t now = now_ns();
    uint32_t left = first;
    while (left != behind && line[left % MOST].due_ns <= now)
        left++;
    if (left == first)
        return;
    struct nlmsghdr *message = nfq_nlmsg_put(buffer, NFQNL_MSG_VERDICT_BATCH, queue);
    nfq_nlmsg_verdict_put(message, line[(left - 1) % MOST].id, NF_ACCEPT);
    if (mnl_socket_sendto(netlink, message, message->nlmsg_len) < 0 && errno != ENOENT)
        fail("accepting packets");
    first = left;
}

static void receive(struct mnl_socket *netlink) {
    char buffer[MNL_SOCKET_BUFFER_SIZE];
    for (;;) {
        ssize_t size = recv(mnl_socket_get_fd(netlink), buffer, sizeof buffer, MSG_DONTWAIT);
        if (size > 0)
            mnl_cb_run(buffer, size, 0, 0, enter, NULL); /* errors only concern packets that no longer exist */
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            return;
        else if (errno != EINTR && errno != ENOBUFS)
            fail("receiving packets");
    }
}

int main(int count, char **arguments) {
    if (count < 2)
        return EXIT_FAILURE;
    uint16_t queue = (uint16_t)atoi(arguments[1]);
    struct mnl_socket *netlink = mnl_socket_open(NETLINK_NETFILTER);
    if (netlink == NULL || mnl_socket_bind(netlink, 0, MNL_SOCKET_AUTOPID) < 0)
        fail("netlink");
    configure(netlink, queue);
    if (count < 3)
        return EXIT_SUCCESS;
    delay_ns = atoll(arguments[2]) * 1000;

    int bytes = RECEIVE_BYTES, yes = 1;
    setsockopt(mnl_socket_get_fd(netlink), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
    mnl_socket_setsockopt(netlink, NETLINK_NO_ENOBUFS, &yes, sizeof yes);
    be_punctual();
    puts("ready");
    fflush(stdout);

    struct pollfd readable = {.fd = mnl_socket_get_fd(netlink), .events = POLLIN};
    for (;;) {
        struct timespec wait, *until = NULL;
        if (first != behind) {
            int64_t left_ns = line[first % MOST].due_ns - now_ns();
            left_ns = left_ns < 0 ? 0 : left_ns;
            wait = (struct timespec){left_ns / 1000000000LL, left_ns % 1000000000LL};
            until = &wait;
        }
        if (ppoll(&readable, 1, until, NULL) < 0 && errno != EINTR)
            fail("waiting for packets");
        receive(netlink);
        accept_due(netlink, queue);
    }
}
