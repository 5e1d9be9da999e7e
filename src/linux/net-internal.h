/* Shared by the files about sockets: net*.c and unix*.c. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "linux/linux-internal.h"
#include "linux/unix-names.h"
#include "linux/unix-twins.h"

/* An address copied from the guest, or to be copied to it. */
struct net_address {
    union {
        struct sockaddr any;
        struct sockaddr_un local;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
        struct sockaddr_storage storage;
    };
    socklen_t length;
};

/*
 * Copies an address argument once, with the kernel's limits. Returns 0, -EINVAL or -EFAULT. An
 * address shorter than its family field has family AF_UNSPEC.
 */
int net_read_address(struct pk_request *request, uint64_t address, uint64_t length,
                     struct net_address *ret_address);

/*
 * SO_DOMAIN, SO_TYPE and SO_PROTOCOL of a socket of ours; a negative errno (-ENOTSOCK) otherwise.
 * The domain of a stand-in is the internet's.
 */
int net_domain(int fd);
int net_type(int fd);
int net_protocol(int fd);

/* True when calls on the socket wait: O_NONBLOCK is not set. */
bool net_blocks(int fd);

/* How long they wait for something to come (SO_RCVTIMEO), in milliseconds; -1: for ever. */
int net_patience_ms(int fd);

/* 0 when the guest may use a socket of this domain with this address, else the refusal. */
int net_check_use(struct pk_request *request, int domain, const struct net_address *address,
                  struct pk_answer *ret_refusal);

/* "10.0.0.1:80", "[::1]:80"; of another family, or too short: "the network". Returns `text`. */
#define NET_SHOWN_SIZE (INET6_ADDRSTRLEN + sizeof("[]:65535"))
const char *net_show(const struct net_address *address, char text[NET_SHOWN_SIZE]);

/* ---- with network rules, net-rules.c ---- */

bool net_has_rules(const struct pk_request *request);

/*
 * As net_check_use(), for a call that names this address: connect, bind, or one that sends. Asks
 * the network rules, too, after rewriting the address into what it means on this socket (with
 * length 0: it is none). Returns 0, or a negative errno with the answer in `ret_refusal`.
 */
int net_judge(struct pk_request *request, int fd, int domain, struct net_address *address,
              struct pk_answer *ret_refusal);

struct pk_answer net_do_listen(struct pk_request *request);

/* An option, or a control message, that sends packets by another way than to their address. */
bool net_is_route_option(int level, int option);
struct pk_answer net_refuse_route(struct pk_request *request);

/* socket() of neither TCP nor UDP, or a use of one. */
struct pk_answer net_refuse_protocol(struct pk_request *request, int protocol);

/* ---- without a network, net-none.c ---- */

/* socket() of an internet family: something that can be had, and reaches nobody. */
struct pk_answer net_stand_in(struct pk_request *request);
/* The family that a socket stands in for; 0: it is none of these. */
int net_stands_in_for(int fd);
/* The name of AF_UNIX by which the stand-in with this inode number is known. */
void net_stand_in_mark(struct pk_request *request, int domain, uint64_t inode,
                       struct net_address *ret_mark);
/* The inode number in such a name; 0: it is none. */
uint64_t net_stand_in_inode(const struct net_address *mark);
/* An option that a stand-in does not have as its host's socket has it; SOL_SOCKET or a protocol's.
 */
bool net_has_stand_in_option(int level, int option);
struct pk_answer net_stand_in_getsockopt(struct pk_request *request, int fd, int domain);
struct pk_answer net_do_setsockopt(struct pk_request *request);
/* True the first time that a run uses the network in this way: 0 connect, 1 bind, 2 send. */
bool net_tell_once(struct pk_request *request, unsigned kind);

/*
 * Tells the observer of an internet address that connect(), bind() or a message names, and the user
 * when a profile under trial would not let it pass.
 */
void net_saw(struct pk_request *request, const struct net_address *address);

/* Refuses connect(), bind() or a message; the first of each kind is told to the user. */
struct pk_answer net_refuse(struct pk_request *request, const struct net_address *address);

/* ---- the loopback of a guest without a network, net-loopback.c ---- */

void net_loopback_free(struct net_loopback *loopback);
/* A new socket has this inode number: what is known of an older one is not true any more. */
void net_loopback_forget(struct pk_request *request, uint64_t inode);
/* True for a stream socket that stands in for one of the internet, with an address of this machine
 * (or one that is wrong in itself). */
bool net_loops(const struct pk_request *request, int fd, int domain,
               const struct net_address *address);
/* 0 or a negative errno. `fd` stays the caller's. */
int net_loop_bind(struct pk_request *request, int fd, int domain,
                  const struct net_address *address);
int net_loop_listen(struct pk_request *request, int fd, int domain, int backlog);
/* Consumes `fd`. */
struct pk_answer net_loop_connect(struct pk_request *request, int fd, int domain,
                                  const struct net_address *address);
/* What getsockname() or getpeername() says of a stand-in. */
void net_loop_name(struct pk_request *request, int fd, int domain, bool peer,
                   struct net_address *ret_address);
/* accept() and accept4() with an address. */
struct pk_answer net_do_accept(struct pk_request *request);

/*
 * Connects a socket (a duplicate, consumed in every case) to an address that is final: tries at
 * once where that cannot take long, else answers with a job that waits for it.
 */
struct pk_answer net_connect(int fd, const struct net_address *address);

/* A job that connects; consumes the descriptor, and `path_fd` (or -1), which the address names. */
struct pk_answer net_connect_later(int fd, int path_fd, const struct net_address *address);

/*
 * Makes calls on a waiting socket give up after one timer tick instead of waiting; net_end_hurry()
 * restores what the guest had set. O_NONBLOCK would be seen by everybody who shares the socket.
 */
struct net_hurry {
    int fd; /* -1: nothing to restore */
    struct timeval timeout;
};
void net_begin_hurry(int fd, struct net_hurry *ret_hurry);
void net_end_hurry(struct net_hurry *hurry);

/* True when a call in a hurry gave up; a signal for the kernel thread may end it as well. */
bool net_is_unfinished(int result);

/* ---- sending, net-send.c ---- */

#define NET_RIGHTS_MAX 253 /* SCM_MAX_FD of the kernel */

/* A message, copied from the guest. A new one has path_fd -1 and zeros. */
struct net_message {
    struct net_address address; /* of the host; length 0: to the peer */
    int path_fd;                /* what the address names, or -1; owned */
    int flags;                  /* as the guest gave them */
    char *data;                 /* owned */
    size_t length;
    void *control; /* owned; the descriptors in it are in `rights` */
    size_t control_length;
    int rights[NET_RIGHTS_MAX]; /* owned */
    size_t right_count;
    uint64_t length_at; /* where sendmmsg() wants the length; the answer is 1 then. 0: nowhere */
};

void net_message_release(struct net_message *message);

/* Copies the data of a message; 0, -EFAULT or -ENOMEM. */
int net_message_data(struct pk_request *request, uint64_t address, uint64_t length,
                     struct net_message *message);

/*
 * Sends a message (its content is consumed) on a socket of ours (consumed): at once where that is
 * possible, else with a job if the guest's socket `blocks`.
 */
struct pk_answer net_send(struct pk_request *request, int fd, bool blocks,
                          struct net_message *message);

/*
 * What another kind than AF_UNIX datagram sockets makes of an address of its own family: 0 with the
 * address taken away (sequenced packets go to the peer), or the error of the host.
 */
int net_judge_local(int fd, struct net_address *address);

/* ---- sendmsg and sendmmsg, net-message.c ---- */

#define NET_IOV_MAX 1024 /* UIO_MAXIOV */

/* The parts of a call that sends one message; `name` is copied, the rest is addresses. */
struct net_sending {
    int fd; /* our duplicate of the guest's socket */
    struct net_address name;
    struct msghdr header; /* of the guest; data and control are still in its memory */
    struct iovec single;  /* where the call has no iovec array */
    int flags;
    uint64_t length_at; /* for net_message.length_at */
};

/* Copies header and name of the message at this guest address; 0 or a negative errno. */
int net_read_header(struct pk_request *request, uint64_t address, struct net_sending *sending);

/* Copies the first `length` bytes of what the parts hold; 0, -EFAULT or -ENOMEM. */
int net_gather(struct pk_request *request, const struct iovec *parts, size_t count, size_t length,
               struct net_message *message);

/*
 * Replaces the header's pointer to control messages by a copy of them (NULL: there are none), which
 * the caller frees in every case. Returns 0, -ENOBUFS, -EFAULT or -ENOMEM.
 */
int net_read_control(struct pk_request *request, struct msghdr *header);

/* Appends a control message; `message->control` has zeroed room for it. */
void net_put_control(struct net_message *message, int level, int type, const void *bytes,
                     size_t length);

struct pk_answer net_do_sendmsg(struct pk_request *request);
struct pk_answer net_do_sendmmsg(struct pk_request *request);

/* ---- AF_UNIX, unix.c; `fd` is a duplicate of the guest's socket, and stays the caller's ---- */

int unix_bind(struct pk_request *request, int fd, const struct net_address *address);
/* Consumes `fd`. */
struct pk_answer unix_connect(struct pk_request *request, int fd,
                              const struct net_address *address);

/*
 * The name that a guest means by an address: the one that it gave the socket where the address is
 * what the host natively shows of it. Returns 0, -EINVAL, or -ECONNREFUSED when that socket is gone
 * or has no name.
 */
int unix_given_name(struct pk_request *request, const struct net_address *address,
                    struct unix_name *ret_name);
bool unix_is_abstract(const struct unix_name *name);
void unix_host_abstract(struct pk_request *request, const struct unix_name *guest,
                        struct net_address *ret_address);

/* Finds the socket behind a path that the caller may write to; -ECONNREFUSED: it is none. */
int unix_find_socket(struct pk_request *request, const struct unix_name *guest,
                     struct vfs_actor *ret_actor, struct vfs_place **ret_place);
/* The refusal of a socket that vfs_connect_socket() answered -EXDEV for. */
struct pk_answer unix_out_of_reach(struct pk_request *request, struct vfs_place *place);

/* Turns a name that the host reported for the socket `fd` into the one the guest gave. */
void unix_to_guest(struct pk_request *request, int fd, bool peer, struct net_address *address);

/* ---- AF_UNIX datagrams, unix-datagram.c; see also unix-twins.h ---- */

/* socket(AF_UNIX, SOCK_DGRAM): a descriptor in the window, where all its calls are served. */
struct pk_answer unix_datagram_socket(struct pk_request *request);

/*
 * True when the guest's datagram sockets may send: the host keeps them from all its names, and lets
 * a privileged process kernel say for whom it sends to one of the guest's.
 */
static inline bool unix_sends_itself(const struct pk_request *request)
{
    return request->kernel->config.unix_isolated && request->kernel->host_identity.euid == 0;
}

/*
 * The socket that sends for the guest's datagram socket `fd`: its twin, or itself. Returns a
 * duplicate, which the caller closes, or a negative errno. `ret_twin` is NULL where it is itself.
 */
int unix_sender(struct pk_request *request, int fd, struct unix_twin **ret_twin);

/* Where a datagram goes: an address of the host, and what it names (or -1), to be kept open. */
struct unix_goal {
    struct net_address address;
    int path_fd;
    struct unix_twin *twin; /* of the receiver; NULL: it has none */
};

/*
 * Finds the receiver that a guest's name means for `sender` (or NULL). Returns 0, else
 * `ret_refusal` is the answer.
 */
int unix_find_goal(struct pk_request *request, const struct unix_twin *sender,
                   const struct net_address *address, struct unix_goal *ret_goal,
                   struct pk_answer *ret_refusal);

/* 0 when the peer of a connected sender still takes its messages; Linux' error otherwise. */
int unix_check_peer(struct pk_request *request, const struct unix_twin *sender);

struct pk_answer unix_connect_datagram(struct pk_request *request, int fd,
                                       const struct net_address *address);

/* ---- sending on AF_UNIX sockets, unix-send.c; unix_send() is for sendto, too ---- */

/* Sends a message on a datagram socket. */
struct pk_answer unix_send_message(struct pk_request *request, const struct net_sending *sending);

/*
 * Takes the guest's control messages: descriptors are duplicated, credentials checked, and what the
 * host is to be given is made. Returns 0 or a negative errno.
 */
int unix_take_control(struct pk_request *request, const struct msghdr *header,
                      struct net_message *message);

void unix_set_receive_handlers(struct pk_kernel *kernel); /* unix-receive.c */

/* ---- who is at the other end, net-peer.c ---- */

/* What is noted about connections; NULL when memory is short. The oldest is forgotten. */
struct net_connections *net_connections_new(void);
void net_connections_free(struct net_connections *connections);

/* Notes that the caller connects the AF_UNIX socket `fd`, for which the host will take us. */
void net_note_connector(struct pk_request *request, int fd);

/* Notes that the caller listens at the AF_UNIX socket `fd`; the host takes us for the listener. */
void net_note_listener(struct pk_request *request, int fd);

/*
 * Changes credentials that the host reported into what the guest is to see. `known` is the process
 * that stands behind us where they are ours; 0 or negative: not known.
 */
void net_guest_credentials(struct pk_request *request, pid_t known, struct ucred *credentials);

struct pk_answer net_do_getsockopt(struct pk_request *request);

/* net-connect.c, net-send.c */
struct pk_answer net_do_connect(struct pk_request *request);
struct pk_answer net_do_bind(struct pk_request *request);
struct pk_answer net_do_sendto(struct pk_request *request);
