/* Arithmetic of whole numbers without bound and of decimals, as Java's BigInteger and BigDecimal do it: varint and decimal columns.
 * A decimal is digits and a scale: 12345 and 2 are 123.45. OpenSSL's numbers stand behind it. */
#include "cql/decimal.h"

#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

struct cql_number {
	BIGNUM *digits;
	int32_t scale;
};

/* All of one calculation dies together. */
struct cql_calculation {
	BN_CTX *ctx;
	struct arena *arena;
	struct cql_number all[CQL_NUMBERS_MAX];
	int count;
	bool failed; /* memory, or a scale or size beyond what Java takes */
};

struct cql_calculation *cql__calculation_new(struct arena *arena)
{
	struct cql_calculation *c = arena_alloc(arena, sizeof *c);
	if (!c)
		return NULL;
	c->arena = arena;
	c->ctx = BN_CTX_new();
	c->failed = !c->ctx;
	return c;
}

void cql__calculation_done(struct cql_calculation *c)
{
	if (!c)
		return;
	for (int i = 0; i < c->count; i++)
		BN_free(c->all[i].digits);
	BN_CTX_free(c->ctx);
}

bool cql__calculation_failed(const struct cql_calculation *c)
{
	return c->failed;
}

enum sm_err cql__too_many_digits(struct cql_error *err)
{
	return cql__fail(err, CQL_INVALID, "The numbers have too many digits to be calculated with: at most %d bytes, and %d digits apart",
			 CQL_NUMBER_BYTES_MAX, CQL_DIGITS_MAX);
}

enum sm_err cql__calculation_end(struct cql_calculation *c, struct cql_error *err)
{
	bool failed = c->failed;
	cql__calculation_done(c);
	return failed ? cql__too_many_digits(err) : SM_OK;
}

static struct cql_number *number_new(struct cql_calculation *c, int64_t scale)
{
	static struct cql_number none;
	if (c->failed || c->count == CQL_NUMBERS_MAX || scale != (int32_t)scale) {
		c->failed = true;
		return &none;
	}
	struct cql_number *n = &c->all[c->count];
	if (!(n->digits = BN_new())) {
		c->failed = true;
		return &none;
	}
	c->count++;
	n->scale = (int32_t)scale;
	return n;
}

static void check(struct cql_calculation *c, int ok)
{
	if (!ok)
		c->failed = true;
}

/* ---- in and out ---- */

/* Two's complement, big-endian. */
static void set_bytes(struct cql_calculation *c, struct cql_number *n, const uint8_t *data, int size)
{
	check(c, size <= CQL_NUMBER_BYTES_MAX);
	if (c->failed)
		return;
	check(c, BN_bin2bn(data, size, n->digits) != NULL);
	if (size && data[0] & 0x80) {
		BIGNUM *whole = BN_new();
		check(c, whole && BN_set_bit(whole, size * 8) && BN_sub(n->digits, n->digits, whole));
		BN_free(whole);
	}
}

struct cql_number *cql__number_of_varint(struct cql_calculation *c, struct store_cell cell)
{
	struct cql_number *n = number_new(c, 0);
	set_bytes(c, n, cell.data, cell.size);
	return n;
}

struct cql_number *cql__number_of_decimal(struct cql_calculation *c, struct store_cell cell)
{
	struct cql_number *n = number_new(c, cell.size >= 4 ? (int32_t)be32_get(cell.data) : 0);
	if (cell.size > 4)
		set_bytes(c, n, cell.data + 4, cell.size - 4);
	return n;
}

struct cql_number *cql__number_of_long(struct cql_calculation *c, int64_t v)
{
	uint8_t bytes[8];
	be64_put(bytes, (uint64_t)v);
	struct cql_number *n = number_new(c, 0);
	set_bytes(c, n, bytes, 8);
	return n;
}

static struct store_cell to_bytes(struct cql_calculation *c, const struct cql_number *n, size_t before)
{
	if (c->failed)
		return cql__null();
	size_t size = (size_t)BN_num_bytes(n->digits) + 1;
	uint8_t *out = arena_alloc(c->arena, before + size);
	BIGNUM *positive = BN_dup(n->digits);
	check(c, out != NULL && positive != NULL);
	if (!c->failed && BN_is_negative(n->digits)) {
		BIGNUM *whole = BN_new();
		check(c, whole && BN_set_bit(whole, (int)size * 8) && BN_add(positive, whole, n->digits));
		BN_free(whole);
	}
	if (!c->failed)
		check(c, BN_bn2binpad(positive, out + before, (int)size) >= 0);
	BN_free(positive);
	if (c->failed || !out)
		return cql__null();
	size_t skip = 0;
	while (skip + 1 < size && ((out[before + skip] == 0 && !(out[before + skip + 1] & 0x80)) ||
				   (out[before + skip] == 0xff && out[before + skip + 1] & 0x80)))
		skip++;
	memmove(out + before, out + before + skip, size - skip);
	return (struct store_cell){out, (int32_t)(before + size - skip)};
}

struct store_cell cql__number_varint(struct cql_calculation *c, const struct cql_number *n)
{
	return to_bytes(c, cql__number_scaled(c, n, 0, CQL_ROUND_DOWN), 0);
}

struct store_cell cql__number_decimal(struct cql_calculation *c, const struct cql_number *n)
{
	struct store_cell cell = to_bytes(c, n, 4);
	if (cell.size >= 4)
		be32_put((uint8_t *)cell.data, (uint32_t)n->scale);
	return cell;
}

struct cql_number *cql__number_of_digits(struct cql_calculation *c, const char *digits)
{
	struct cql_number *n = number_new(c, 0);
	if (!c->failed)
		check(c, BN_dec2bn(&n->digits, digits) > 0);
	return n;
}

const char *cql__number_digits(struct cql_calculation *c, const struct cql_number *n)
{
	char *digits = c->failed ? NULL : BN_bn2dec(n->digits), *text = digits ? arena_string(c->arena, digits, strlen(digits)) : NULL;
	OPENSSL_free(digits);
	check(c, text != NULL);
	return text;
}

int64_t cql__number_long(struct cql_calculation *c, const struct cql_number *n)
{
	struct store_cell cell = cql__number_varint(c, n);
	uint64_t v = cell.size > 0 && cell.data[0] & 0x80 ? UINT64_MAX : 0;
	for (int32_t i = cell.size > 8 ? cell.size - 8 : 0; i < cell.size; i++)
		v = v << 8 | cell.data[i];
	return (int64_t)v;
}

int cql__number_sign(const struct cql_number *n)
{
	return !n->digits || BN_is_zero(n->digits) ? 0 : BN_is_negative(n->digits) ? -1 : 1;
}

/* ---- scales ---- */

/* 10 to the power. */
static BIGNUM *power_of_ten(struct cql_calculation *c, int64_t power)
{
	BIGNUM *ten = BN_new(), *exponent = BN_new(), *out = BN_new();
	check(c, power >= 0 && power <= CQL_DIGITS_MAX && ten && exponent && out);
	check(c, !c->failed && BN_set_word(ten, 10) && BN_set_word(exponent, (BN_ULONG)power) && BN_exp(out, ten, exponent, c->ctx));
	BN_free(ten);
	BN_free(exponent);
	return out;
}

/* quotient = a / b, rounded; a and b are whole. */
static void divide(struct cql_calculation *c, BIGNUM *quotient, const BIGNUM *a, const BIGNUM *b, enum cql_rounding rounding)
{
	BIGNUM *rest = BN_new(), *twice = BN_new();
	check(c, rest && twice && BN_div(quotient, rest, a, b, c->ctx) && BN_lshift1(twice, rest));
	if (!c->failed && rounding != CQL_ROUND_DOWN && !BN_is_zero(rest)) {
		int order = BN_ucmp(twice, b);
		bool away = order > 0 || (order == 0 && (rounding == CQL_ROUND_HALF_UP || BN_is_odd(quotient)));
		if (away)
			check(c, BN_is_negative(a) != BN_is_negative(b) ? BN_sub_word(quotient, 1) : BN_add_word(quotient, 1));
	}
	BN_free(rest);
	BN_free(twice);
}

struct cql_number *cql__number_scaled(struct cql_calculation *c, const struct cql_number *n, int32_t scale, enum cql_rounding rounding)
{
	struct cql_number *out = number_new(c, scale);
	if (c->failed)
		return out;
	int64_t difference = (int64_t)scale - n->scale;
	BIGNUM *power = power_of_ten(c, difference < 0 ? -difference : difference);
	if (!c->failed && difference >= 0)
		check(c, BN_mul(out->digits, n->digits, power, c->ctx));
	else if (!c->failed)
		divide(c, out->digits, n->digits, power, rounding);
	BN_free(power);
	return out;
}

/* Decimal digits without sign; 0 has one. */
static int64_t precision(struct cql_calculation *c, const struct cql_number *n)
{
	char *text = c->failed ? NULL : BN_bn2dec(n->digits);
	check(c, text != NULL);
	int64_t digits = text ? (int64_t)strlen(text) - (text[0] == '-') : 0;
	OPENSSL_free(text);
	return digits;
}

/* Take zeros off the end: 1.500 is 1.5, 100 is 1E+2. Zero is 0. */
static struct cql_number *stripped(struct cql_calculation *c, struct cql_number *n)
{
	BIGNUM *next = BN_new(), *rest = BN_new();
	check(c, next && rest);
	if (!c->failed && BN_is_zero(n->digits)) {
		n->scale = 0;
	} else {
		for (int power = 8192; power && !c->failed; power /= 2) { /* so that many zeros cost few divisions */
			BIGNUM *tens = BN_num_bits(n->digits) > 3 * power ? power_of_ten(c, power) : NULL;
			while (tens && !c->failed) {
				check(c, BN_div(next, rest, n->digits, tens, c->ctx));
				if (c->failed || !BN_is_zero(rest))
					break;
				check(c, n->scale >= INT32_MIN + power && BN_copy(n->digits, next) != NULL);
				n->scale -= c->failed ? 0 : power;
			}
			BN_free(tens);
		}
	}
	BN_free(next);
	BN_free(rest);
	return n;
}

/* ---- operations ---- */

struct cql_number *cql__number_add(struct cql_calculation *c, const struct cql_number *a, const struct cql_number *b, bool minus)
{
	int32_t scale = a->scale > b->scale ? a->scale : b->scale;
	struct cql_number *x = cql__number_scaled(c, a, scale, CQL_ROUND_DOWN), *y = cql__number_scaled(c, b, scale, CQL_ROUND_DOWN);
	struct cql_number *out = number_new(c, scale);
	if (!c->failed)
		check(c, minus ? BN_sub(out->digits, x->digits, y->digits) : BN_add(out->digits, x->digits, y->digits));
	return out;
}

struct cql_number *cql__number_multiply(struct cql_calculation *c, const struct cql_number *a, const struct cql_number *b)
{
	struct cql_number *out = number_new(c, (int64_t)a->scale + b->scale);
	if (!c->failed)
		check(c, BN_mul(out->digits, a->digits, b->digits, c->ctx));
	return out;
}

struct cql_number *cql__number_divide_whole(struct cql_calculation *c, const struct cql_number *a, const struct cql_number *b)
{
	struct cql_number *out = number_new(c, 0);
	if (!c->failed)
		divide(c, out->digits, a->digits, b->digits, CQL_ROUND_DOWN);
	return out;
}

static struct cql_number *divide_to_scale(struct cql_calculation *c, const struct cql_number *a, const struct cql_number *b, int64_t scale,
					  enum cql_rounding rounding)
{
	/* a.digits * 10^x / b.digits has the scale a.scale + x - b.scale */
	struct cql_number *out = number_new(c, scale);
	int64_t x = scale - a->scale + b->scale;
	BIGNUM *power = power_of_ten(c, x < 0 ? -x : x), *wide = BN_new();
	check(c, wide != NULL);
	if (!c->failed && x >= 0) {
		check(c, BN_mul(wide, a->digits, power, c->ctx));
		if (!c->failed)
			divide(c, out->digits, wide, b->digits, rounding);
	} else if (!c->failed) {
		check(c, BN_mul(wide, b->digits, power, c->ctx));
		if (!c->failed)
			divide(c, out->digits, a->digits, wide, rounding);
	}
	BN_free(power);
	BN_free(wide);
	return out;
}

/* At least 32 digits, at most 1000 behind the point: what Cassandra takes. */
struct cql_number *cql__number_divide(struct cql_calculation *c, const struct cql_number *a, const struct cql_number *b)
{
	if (c->failed)
		return number_new(c, 0);
	int64_t first = (precision(c, a) - a->scale) - (precision(c, b) - b->scale), scale = 32 - first;
	scale = scale > a->scale ? scale : a->scale;
	scale = scale > b->scale ? scale : b->scale;
	scale = scale > 32 ? scale : 32;
	scale = scale < 1000 ? scale : 1000;
	return stripped(c, divide_to_scale(c, a, b, scale, CQL_ROUND_HALF_UP));
}

struct cql_number *cql__number_average(struct cql_calculation *c, const struct cql_number *sum, int64_t count)
{
	struct cql_number *n = cql__number_of_long(c, count);
	return divide_to_scale(c, sum, n, sum->scale, CQL_ROUND_HALF_EVEN);
}

/* Java takes a - (a / b towards zero) * b, whose scale follows from the quotient's, which is as near to a.scale - b.scale as it can be. */
struct cql_number *cql__number_remainder(struct cql_calculation *c, const struct cql_number *a, const struct cql_number *b)
{
	int32_t scale = a->scale > b->scale ? a->scale : b->scale;
	struct cql_number *x = cql__number_scaled(c, a, scale, CQL_ROUND_DOWN), *y = cql__number_scaled(c, b, scale, CQL_ROUND_DOWN);
	struct cql_number *quotient = number_new(c, 0), *out = number_new(c, scale);
	if (!c->failed)
		check(c, BN_div(quotient->digits, out->digits, x->digits, y->digits, c->ctx));
	int64_t wanted = (int64_t)a->scale - b->scale;
	bool zero = cql__number_sign(quotient) == 0;
	int64_t reached = wanted >= 0 || zero ? wanted : stripped(c, quotient)->scale;
	int64_t final = (reached > wanted ? reached : wanted) + b->scale;
	return cql__number_scaled(c, out, (int32_t)(final > a->scale ? final : a->scale), CQL_ROUND_DOWN);
}

struct cql_number *cql__number_negate(struct cql_calculation *c, const struct cql_number *n)
{
	struct cql_number *out = number_new(c, n->scale);
	if (!c->failed) {
		check(c, BN_copy(out->digits, n->digits) != NULL);
		BN_set_negative(out->digits, !BN_is_negative(n->digits));
	}
	return out;
}
