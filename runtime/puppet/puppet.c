/* The puppet: carries out batches of system calls for the runtime.
 *
 * Holdfast's runtime is a Python program that never enters a container.  What has to be done inside the
 * container's namespaces, or on the way into them, is done by this program, which knows nothing of containers:
 * it reads a batch of system calls from a socket, carries them out in order, stops at the first that fails, and
 * answers with the results.  Which calls, in which order, with which arguments, and what a failure means, is
 * decided outside, by the runtime (runtime/puppet/puppet.py holds the other end of the socket).
 *
 * So that nothing of the host is worth reading in it or can be planted under it, it is static, has no libc, no
 * heap, no strings and no signal handlers, and is run from a sealed memory file.
 *
 * A batch, in the byte order of the machine:
 *
 *     struct header   how many bytes follow, how many calls they end in, how many bytes to send back
 *     bytes           buffers that the calls point into
 *     struct call[]   the calls
 *
 * All of it is read into the arena; the arena's second half is where calls put what is to be sent back.  File
 * descriptors may come along with the header (SCM_RIGHTS): the control message lies at the start of the arena, so
 * a call names such a descriptor by loading it from there.
 *
 * An argument is one of: a number; the result of an earlier call of the batch; the address of a place in the
 * arena; the 32-bit number found at a place in the arena (where an earlier call has put it).  The pseudo call
 * STORE writes a value into the arena, which is how a structure gets the pointers and descriptors it needs.
 *
 * The answer: struct answer, one 64-bit result per call that was carried out, then what is to be sent back.
 *
 * Sources: unix(7), cmsg(3), syscall(2), the kernel's asm/unistd.h of each architecture.
 */
#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)
#include <asm/unistd_64.h>
#else
#include <asm/unistd.h>
#endif

enum {
	FIRST_CHANNEL = 3, /* where whoever starts the puppet has put its socket */
	CHILD_CHANNEL = 4, /* and the one for the process that it will be made to clone */
	MAX_CALLS = 1024,
	CONTROL_SIZE = 272, /* struct cmsghdr and 64 descriptors */
	ARENA_SIZE = 16 << 20, /* an argument list and an environment may be large; untouched pages cost nothing */
	BACK = ARENA_SIZE / 2,
};

enum { STORE = -1 }; /* pseudo call: arg 0 place, arg 1 value, arg 2 its size, 4 or 8 bytes */

enum kind { NUMBER = 0, RESULT = 1, ADDRESS = 2, LOADED = 3 }; /* four bits an argument in call.kinds */

enum flag {
	FORKS = 1, /* the child does not go on with this batch, it reads batches of its own from call.channel */
	BECOMES_CHANNEL = 2, /* the result is the socket to answer on, from now on */
};

enum { ACCEPT_ANY = 0xffff };

/* How the puppet ends when its other end does not keep to the protocol; zero when that end was closed. */
enum death { GONE = 0, BAD_HEADER = 101, BAD_CALL = 102, NO_ANSWER = 103 };

struct header {
	uint32_t size; /* of what follows, in bytes */
	uint32_t calls;
	uint32_t back_size; /* of what is sent back, in bytes */
	uint32_t zero;
};

struct call {
	int32_t number;
	uint16_t flags;
	uint16_t accept; /* an errno that does not end the batch; its negative is the result then */
	uint32_t kinds;
	uint32_t channel;
	uint64_t arg[6];
};

struct answer {
	uint32_t done; /* calls carried out */
	uint32_t error; /* errno of the next one, 0 if there was none */
};

struct span {
	void *base;
	size_t size;
};

struct message { /* struct msghdr of the kernel */
	void *name;
	int name_size, pad;
	struct span *spans;
	size_t span_count;
	void *control;
	size_t control_size;
	int flags, pad2;
};

static _Alignas(16) unsigned char arena[ARENA_SIZE];
static int64_t result[MAX_CALLS];
static int channel = FIRST_CHANNEL;

static long syscall6(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
	long value;
	__asm__ volatile("syscall" : "=a"(value)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return value;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c,
		      x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
#else
#error "the puppet has no system call entry for this architecture"
#endif
}

static _Noreturn void die(enum death why)
{
	for (;;)
		syscall6(__NR_exit_group, why, 0, 0, 0, 0, 0);
}

static int within_arena(uint64_t place, uint64_t size)
{
	return place <= ARENA_SIZE && size <= ARENA_SIZE - place;
}

/* Reads a batch into the arena; returns only if it is one that can be walked. */
static void receive(struct header *header)
{
	enum { WAITALL = 0x100, CTRUNC = 0x8, CMSG_CLOEXEC = 0x40000000 };
	struct span span = { header, sizeof *header };
	struct message message = { .spans = &span, .span_count = 1, .control = arena, .control_size = CONTROL_SIZE };
	long got = syscall6(__NR_recvmsg, channel, (long)&message, WAITALL | CMSG_CLOEXEC, 0, 0, 0);

	if (got == 0)
		die(GONE);
	if (got != sizeof *header || message.flags & CTRUNC || header->size % 8 != 0 ||
	    header->size > BACK - CONTROL_SIZE || header->calls > MAX_CALLS ||
	    header->calls * sizeof(struct call) > header->size || header->back_size > ARENA_SIZE - BACK)
		die(BAD_HEADER);
	for (uint32_t have = 0; have < header->size; have += got) {
		got = syscall6(__NR_recvfrom, channel, (long)arena + CONTROL_SIZE + have, header->size - have, WAITALL, 0, 0);
		if (got <= 0)
			die(BAD_HEADER);
	}
}

static void answer(const struct header *header, uint32_t done, uint32_t error)
{
	enum { NOSIGNAL = 0x4000 };
	struct answer head = { done, error };
	struct span spans[] = {
		{ &head, sizeof head },
		{ result, done * sizeof result[0] },
		{ arena + BACK, header->back_size },
	};
	struct message message = { .spans = spans, .span_count = 3 };
	long size = spans[0].size + spans[1].size + spans[2].size;

	if (syscall6(__NR_sendmsg, channel, (long)&message, NOSIGNAL, 0, 0, 0) != size)
		die(NO_ANSWER);
}

static long value_of(const struct call *call, unsigned which, uint32_t index)
{
	uint64_t word = call->arg[which];

	switch ((enum kind)(call->kinds >> (4 * which) & 15)) {
	case NUMBER:
		return word;
	case RESULT:
		if (word < index)
			return result[word];
		break;
	case ADDRESS:
		if (within_arena(word, 0))
			return (long)(arena + word);
		break;
	case LOADED:
		if (within_arena(word, sizeof(int32_t)) && word % sizeof(int32_t) == 0)
			return *(int32_t *)(arena + word);
		break;
	}
	die(BAD_CALL);
}

static long store(uint64_t place, uint64_t value, uint64_t size)
{
	if (!within_arena(place, size) || place % size != 0)
		die(BAD_CALL);
	if (size == sizeof(uint32_t))
		*(uint32_t *)(arena + place) = value;
	else
		*(uint64_t *)(arena + place) = value;
	return 0;
}

/* Carries out the calls in order.  Returns in whoever is to read the next batch. */
static void perform(const struct header *header)
{
	const unsigned char *end = arena + CONTROL_SIZE + header->size;
	const struct call *calls = (const struct call *)end - header->calls;

	for (uint32_t i = 0; i < header->calls; i++) {
		const struct call *call = &calls[i];
		long arg[6];

		for (unsigned which = 0; which < 6; which++)
			arg[which] = value_of(call, which, i);
		if (call->number == STORE && (arg[2] == sizeof(uint32_t) || arg[2] == sizeof(uint64_t)))
			result[i] = store(arg[0], arg[1], arg[2]);
		else if (call->number >= 0)
			result[i] = syscall6(call->number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
		else
			die(BAD_CALL);

		if (result[i] < 0 && result[i] >= -4095 && call->accept != ACCEPT_ANY && result[i] != -(long)call->accept) {
			answer(header, i, -result[i]);
			return;
		}
		if (call->flags & FORKS && result[i] == 0) {
			channel = call->channel;
			return;
		}
		if (call->flags & BECOMES_CHANNEL)
			channel = result[i];
	}
	answer(header, header->calls, 0);
}

__attribute__((used)) static _Noreturn void serve(void)
{
	struct header header;

	/* Nothing of whoever started the puppet is to be found in it: stdio and two channels are all it has. */
	syscall6(__NR_close_range, CHILD_CHANNEL + 1, ~0U, 0, 0, 0, 0);
	for (;;) {
		receive(&header);
		perform(&header);
	}
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tand $-16, %rsp\n\tcall serve\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tmov x30, #0\n\tb serve\n");
#endif
