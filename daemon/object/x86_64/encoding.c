#include "daemon/object/machine/encoding.h"

#include <string.h>

/* Intel SDM vol. 2, 2.1 and 2.2: prefixes, REX, opcode, ModR/M, SIB, displacement, immediate. */
enum { RSP = 4, RBP = 5, REGISTERS = 16 };

/* How it is written, where there is a choice. */
struct variant {
	bool is_reversed;  /* the operand of ModR/M's reg is the one that is written to */
	unsigned form;	   /* of the immediate: 0 short, 1 whole, 2 without ModR/M */
	unsigned distance; /* of the displacement: 0 none, 1 a byte, 2 four */
	bool has_rex;	   /* though none is needed */
	bool has_sib;
};

static struct variant variant_of(unsigned number)
{
	return (struct variant){
		.is_reversed = number % 2,
		.form = number / 2 % 3,
		.distance = number / 6 % 3,
		.has_rex = number / 18 % 2,
		.has_sib = number / 36 % 2,
	};
}

struct writer {
	uint8_t *to;
	size_t size;
	bool is_impossible;
};

static void put(struct writer *writer, uint8_t byte)
{
	if (writer->size < ENCODING_MAX_BYTES)
		writer->to[writer->size++] = byte;
	else
		writer->is_impossible = true;
}

static void put_number(struct writer *writer, int32_t number, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		put(writer, (uint32_t)number >> 8 * i);
}

static bool fits_byte(int32_t number)
{
	return number >= INT8_MIN && number <= INT8_MAX;
}

/* ---- ModR/M -------------------------------------------------------------------------------- */

struct parts {
	uint8_t prefix;	  /* f3; 0: none */
	bool is_two_byte; /* 0f comes before the opcode */
	uint8_t opcode;
	bool has_modrm;
	uint8_t reg; /* ModR/M's reg: a register, or more of the opcode */
	uint8_t rm;  /* a register, or DHAT_OPERAND_MEMORY */
	/* of these registers the low byte is meant: they need a REX from 4 on */
	bool is_byte_reg, is_byte_rm;
	uint8_t width;
	bool has_no_wide; /* REX.W means nothing */
	uint8_t immediate_bytes;
};

static void put_memory(struct writer *writer, const struct dhat_instruction *in, uint8_t reg,
		       const struct variant *variant)
{
	bool has_base = in->base < DHAT_ADDRESS_NONE, has_index = in->index < DHAT_ADDRESS_NONE;
	bool needs_sib =
		has_index || in->base == DHAT_ADDRESS_NONE || (has_base && (in->base & 7) == RSP);
	unsigned mod = has_base ? variant->distance : 0;

	if (in->base == DHAT_ADDRESS_PC) {
		writer->is_impossible |= has_index || variant->has_sib || variant->distance != 2;
		put(writer, (reg & 7) << 3 | 5);
		put_number(writer, in->displacement, 4);
		return;
	}
	if ((!has_base && variant->distance != 2) || (needs_sib && variant->has_sib) ||
	    (has_base && mod == 0 && ((in->base & 7) == RBP || in->displacement)) ||
	    (mod == 1 && !fits_byte(in->displacement)) || in->index == RSP || in->scale > 3 ||
	    (!has_index && in->scale))
		writer->is_impossible = true;
	put(writer, mod << 6 | (reg & 7) << 3 | (needs_sib || variant->has_sib ? 4 : in->base & 7));
	if (needs_sib || variant->has_sib)
		put(writer, in->scale << 6 | (has_index ? in->index & 7 : 4) << 3 |
				    (has_base ? in->base & 7 : 5));
	if (mod == 1)
		put_number(writer, in->displacement, 1);
	if (mod == 2 || !has_base)
		put_number(writer, in->displacement, 4);
}

static uint8_t rex_of(const struct dhat_instruction *in, const struct parts *parts,
		      const struct variant *variant)
{
	bool is_memory = parts->rm == DHAT_OPERAND_MEMORY;
	uint8_t rex = 0;

	if (parts->width == 3 && !parts->has_no_wide)
		rex |= 0x48;
	if (parts->reg & 8)
		rex |= 0x44;
	if (is_memory && in->index < DHAT_ADDRESS_NONE && in->index & 8)
		rex |= 0x42;
	if (is_memory ? in->base < DHAT_ADDRESS_NONE && in->base & 8 : parts->rm & 8)
		rex |= 0x41;
	if ((parts->is_byte_reg && parts->reg >= 4) ||
	    (parts->is_byte_rm && !is_memory && parts->rm >= 4) || variant->has_rex)
		rex |= 0x40;
	return rex;
}

static void put_parts(struct writer *writer, const struct dhat_instruction *in,
		      const struct parts *parts, const struct variant *variant)
{
	uint8_t rex = rex_of(in, parts, variant);

	if (parts->rm != DHAT_OPERAND_MEMORY && (variant->distance || variant->has_sib))
		writer->is_impossible = true; /* the same once more */
	if (parts->width == 1)
		put(writer, 0x66);
	if (parts->prefix)
		put(writer, parts->prefix);
	if (rex)
		put(writer, rex);
	if (parts->is_two_byte)
		put(writer, 0x0f);
	put(writer, parts->opcode);
	if (parts->has_modrm && parts->rm == DHAT_OPERAND_MEMORY)
		put_memory(writer, in, parts->reg, variant);
	else if (parts->has_modrm)
		put(writer, 0xc0 | (parts->reg & 7) << 3 | (parts->rm & 7));
	put_number(writer, in->immediate, parts->immediate_bytes);
}

/* ---- instructions -------------------------------------------------------------------------- */

/* add, or, and, sub, xor, cmp: their number in opcodes. */
static int number_of(uint8_t operation)
{
	switch (operation) {
	case DHAT_OPERATION_ADD:
		return 0;
	case DHAT_OPERATION_OR:
		return 1;
	case DHAT_OPERATION_AND:
		return 4;
	case DHAT_OPERATION_SUB:
		return 5;
	case DHAT_OPERATION_XOR:
		return 6;
	default:
		return 7;
	}
}

static uint8_t immediate_bytes(uint8_t width)
{
	return width == 0 ? 1 : width == 1 ? 2 : 4;
}

/* Numbers that an immediate of that width cannot hold are no operand of it; of one as wide as the
 * operation either sign may have been meant, and it is kept with its own. */
static bool holds_immediate(int32_t number, uint8_t bytes)
{
	return bytes == 4 ||
	       (bytes == 1 ? fits_byte(number) : number >= INT16_MIN && number <= INT16_MAX);
}

static bool parts_of_immediate(const struct dhat_instruction *in, const struct variant *variant,
			       struct parts *parts)
{
	bool is_test = in->operation == DHAT_OPERATION_TEST,
	     is_mov = in->operation == DHAT_OPERATION_MOV;
	bool is_byte = in->width == 0;
	uint8_t bytes = immediate_bytes(in->width);
	int number = number_of(in->operation);

	parts->rm = in->to;
	parts->is_byte_rm = is_byte;
	parts->immediate_bytes = bytes;
	parts->has_modrm = variant->form != 2;
	if (variant->is_reversed || !holds_immediate(in->immediate, bytes))
		return false;
	if (variant->form == 2 && is_mov) {
		/* mov to a 64-bit register has eight bytes then */
		parts->opcode = (is_byte ? 0xb0 : 0xb8) | (in->to & 7);
		return in->width < 3;
	}
	if (variant->form == 2) {
		parts->opcode = is_test ? 0xa8 + !is_byte : number << 3 | (4 + !is_byte);
		return in->to == 0;
	}
	parts->reg = is_test || is_mov ? 0 : number;
	if (variant->form == 0) {
		parts->opcode = 0x83;
		parts->immediate_bytes = 1;
		return !is_test && !is_mov && !is_byte && fits_byte(in->immediate);
	}
	parts->opcode = (is_test ? 0xf6 : is_mov ? 0xc6 : 0x80) + !is_byte;
	return true;
}

/* `to` and `from`; with memory the register is ModR/M's reg. */
static bool parts_of_two(const struct dhat_instruction *in, const struct variant *variant,
			 uint8_t opcode, uint8_t reversed, struct parts *parts)
{
	parts->has_modrm = true;
	parts->opcode = variant->is_reversed ? reversed : opcode;
	parts->reg = variant->is_reversed ? in->to : in->from;
	parts->rm = variant->is_reversed ? in->from : in->to;
	parts->is_byte_reg = parts->is_byte_rm = in->width == 0;
	return parts->reg < REGISTERS && !variant->form;
}

/* … where `to` is always ModR/M's reg. */
static bool parts_of_wider(const struct dhat_instruction *in, const struct variant *variant,
			   struct parts *parts)
{
	bool is_sign = in->operation == DHAT_OPERATION_MOVSX;

	parts->has_modrm = true;
	parts->reg = in->to;
	parts->rm = in->from;
	parts->is_byte_rm = in->from_width == 0;
	if (variant->is_reversed || variant->form || in->from_width >= in->width ||
	    in->to >= REGISTERS)
		return false;
	if (in->from_width == 2) {
		parts->opcode = 0x63;
		return is_sign && in->width == 3;
	}
	parts->is_two_byte = true;
	parts->opcode = (is_sign ? 0xbe : 0xb6) + in->from_width;
	return true;
}

static bool parts_of(const struct dhat_instruction *in, const struct variant *variant,
		     struct parts *parts)
{
	bool is_plain = !variant->is_reversed && !variant->form, is_byte = in->width == 0;
	int number = number_of(in->operation);

	parts->width = in->width;
	switch (in->operation) {
	case DHAT_OPERATION_RET: /* before gcc 12 "rep ret" was for processors of 2003 */
		parts->opcode = 0xc3;
		parts->prefix = variant->form == 1 ? 0xf3 : 0;
		parts->width = 2;
		return !variant->is_reversed && variant->form < 2 && !variant->has_rex;
	case DHAT_OPERATION_LEA:
		parts->has_modrm = true;
		parts->opcode = 0x8d;
		parts->reg = in->to;
		parts->rm = DHAT_OPERAND_MEMORY;
		return is_plain && in->from == DHAT_OPERAND_MEMORY && in->width >= 2 &&
		       in->to < REGISTERS;
	case DHAT_OPERATION_CMOV:
		parts->has_modrm = parts->is_two_byte = true;
		parts->opcode = 0x40 + in->condition;
		parts->reg = in->to;
		parts->rm = in->from;
		return is_plain && in->width >= 1 && in->to < REGISTERS &&
		       in->from != DHAT_OPERAND_IMMEDIATE;
	case DHAT_OPERATION_SET:
		parts->has_modrm = parts->is_two_byte = parts->is_byte_rm = true;
		parts->opcode = 0x90 + in->condition;
		parts->rm = in->to;
		return is_plain && is_byte && in->to < REGISTERS;
	case DHAT_OPERATION_MOVZX:
	case DHAT_OPERATION_MOVSX:
		return in->from != DHAT_OPERAND_IMMEDIATE && parts_of_wider(in, variant, parts);
	}
	if (in->from == DHAT_OPERAND_IMMEDIATE)
		return parts_of_immediate(in, variant, parts);
	if (in->operation == DHAT_OPERATION_MOV)
		return parts_of_two(in, variant, 0x88 + !is_byte, 0x8a + !is_byte, parts);
	if (in->operation == DHAT_OPERATION_TEST)
		return !variant->is_reversed &&
		       parts_of_two(in, variant, 0x84 + !is_byte, 0, parts);
	return parts_of_two(in, variant, number << 3 | !is_byte, number << 3 | 2 | !is_byte, parts);
}

/* What the kernel side takes for granted. */
static bool is_sound(const struct dhat_instruction *in)
{
	bool is_compared =
		in->operation == DHAT_OPERATION_CMP || in->operation == DHAT_OPERATION_TEST;

	return in->operation > DHAT_OPERATION_NONE && in->operation < DHAT_OPERATIONS &&
	       in->width <= 3 && in->from_width <= 3 && in->condition < 16 &&
	       (in->to < REGISTERS || (is_compared && in->to == DHAT_OPERAND_MEMORY)) &&
	       in->from <= DHAT_OPERAND_MEMORY &&
	       !(in->to == DHAT_OPERAND_MEMORY && in->from == DHAT_OPERAND_MEMORY) &&
	       in->base <= DHAT_ADDRESS_PC && in->index <= DHAT_ADDRESS_NONE && in->scale <= 3;
}

size_t encoding_make(const struct dhat_instruction *instruction, unsigned variant,
		     uint8_t ret[ENCODING_MAX_BYTES])
{
	const struct variant how = variant_of(variant);
	struct writer writer = { .to = ret };
	struct parts parts = { 0 };

	if (!is_sound(instruction) || instruction->operation == DHAT_OPERATION_NOP ||
	    !parts_of(instruction, &how, &parts))
		return 0;
	put_parts(&writer, instruction, &parts, &how);
	return writer.is_impossible ? 0 : writer.size;
}

/* ---- what is there ------------------------------------------------------------------------- */

/* endbr64, and 0f 1f /0 behind any number of 66: their operand is not looked at, but has a length.
 */
static bool is_nop(const uint8_t *bytes, size_t size)
{
	static const uint8_t endbr64[] = { 0xf3, 0x0f, 0x1e, 0xfa };
	size_t at = 0;
	uint8_t modrm, mod, tail;

	if (size == sizeof(endbr64) && !memcmp(bytes, endbr64, size))
		return true;
	while (at < size && bytes[at] == 0x66)
		at++;
	if (size - at == 1)
		return bytes[at] == 0x90;
	if (size - at < 3 || bytes[at] != 0x0f || bytes[at + 1] != 0x1f || bytes[at + 2] & 0x38)
		return false;
	modrm = bytes[at + 2];
	mod = modrm >> 6;
	at += 3;
	if (mod == 3 || (mod == 0 && (modrm & 7) == RBP))
		return false; /* no compiler writes it */
	tail = mod == 1 ? 1 : mod == 2 ? 4 : 0;
	if ((modrm & 7) == RSP) {
		if (at == size || (mod == 0 && (bytes[at] & 7) == RBP))
			return false;
		tail++;
	}
	return size - at == tail;
}

/* A load by the kernel is no single one: of memory that others write meanwhile it may be torn
 * (copy_user_generic() is "rep movsb" where the processor is good at that). So of more than a byte,
 * only what lies on the thread's own stack. */
static bool may_load(const struct dhat_instruction *in)
{
	bool has_memory = in->to == DHAT_OPERAND_MEMORY || in->from == DHAT_OPERAND_MEMORY;
	uint8_t width =
		in->operation == DHAT_OPERATION_MOVZX || in->operation == DHAT_OPERATION_MOVSX
			? in->from_width
			: in->width;

	return !has_memory || in->operation == DHAT_OPERATION_LEA || width == 0 || in->base == RSP;
}

bool encoding_is_of(const struct dhat_instruction *instruction, const uint8_t *bytes, size_t size)
{
	uint8_t made[ENCODING_MAX_BYTES];

	if (!is_sound(instruction) || instruction->length != size || size > sizeof(made) ||
	    !may_load(instruction))
		return false;
	if (instruction->operation == DHAT_OPERATION_NOP)
		return is_nop(bytes, size);
	for (unsigned i = 0; i < ENCODING_VARIANTS; i++)
		if (encoding_make(instruction, i, made) == size && !memcmp(made, bytes, size))
			return true;
	return false;
}

bool encoding_writes(const struct dhat_instruction *instruction, uint8_t number)
{
	switch (instruction->operation) {
	case DHAT_OPERATION_NONE:
	case DHAT_OPERATION_NOP:
	case DHAT_OPERATION_CMP:
	case DHAT_OPERATION_TEST:
		return false;
	case DHAT_OPERATION_RET:
		return number == RSP;
	default:
		return instruction->to == number;
	}
}

bool encoding_suits(const struct dhat_instruction *instruction, const uint8_t *needed, size_t count)
{
	bool suits = !encoding_writes(instruction, RSP) && !encoding_writes(instruction, RBP);

	for (size_t i = 0; i < count && suits; i++)
		suits = !encoding_writes(instruction, needed[i]);
	return suits;
}
