#include "decode.h"

bool decode(const uint8_t *code, size_t size, ZydisDecodedInstruction *ret,
	    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT])
{
	ZydisDecoder decoder;

	if (ZYAN_FAILED(
		    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)))
		return false;
	if (operands)
		return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code, size, ret, operands));
	return ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, code, size, ret));
}
