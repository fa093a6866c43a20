/* The messages of SCRAM's clients. Source: RFC 5802, section 7 (formal syntax). */
#include "auth/auth_internal.h"

/* The text up to the next comma or the end, which `rest` then no longer has. */
static struct bytes next_attribute(struct bytes *rest)
{
	const uint8_t *comma = rest->size ? memchr(rest->data, ',', rest->size) : NULL;
	size_t size = comma ? (size_t)(comma - rest->data) : rest->size;
	struct bytes one = bytes_of(rest->data, size);
	size_t skip = size + (comma != NULL);
	*rest = bytes_of(rest->data + skip, rest->size - skip);
	return one;
}

/* "n=..." -> what follows the sign. */
static bool value_of(struct bytes attribute, uint8_t letter, struct bytes *ret)
{
	if (attribute.size < 2 || attribute.data[0] != letter || attribute.data[1] != '=')
		return false;
	*ret = bytes_of(attribute.data + 2, attribute.size - 2);
	return true;
}

/* Names have "=2C" for a comma and "=3D" for a sign of equality. */
static bool decode_name(struct bytes in, char out[AUTH_NAME_MAX + 1], struct bytes *ret)
{
	size_t n = 0;
	for (size_t i = 0; i < in.size; i++) {
		uint8_t c = in.data[i];
		if (c == '=') {
			if (in.size - i < 3)
				return false;
			if (memcmp(in.data + i, "=2C", 3) == 0)
				c = ',';
			else if (memcmp(in.data + i, "=3D", 3) != 0)
				return false;
			i += 2;
		}
		if (n == AUTH_NAME_MAX || !c)
			return false;
		out[n++] = (char)c;
	}
	out[n] = 0;
	*ret = bytes_of(out, n);
	return true;
}

static bool printable(struct bytes nonce)
{
	for (size_t i = 0; i < nonce.size; i++)
		if (nonce.data[i] < 0x21 || nonce.data[i] > 0x7e)
			return false;
	return nonce.size > 0;
}

static enum sm_err gs2_header(struct bytes *rest, struct auth_client_first *out)
{
	const uint8_t *begin = rest->data;
	struct bytes flag = next_attribute(rest), authzid = next_attribute(rest), name;
	if (flag.size >= 2 && flag.data[0] == 'p' && flag.data[1] == '=')
		return SM_UNSUPPORTED;
	/* "y": the client could bind the channel and knows that we cannot. */
	if (flag.size != 1 || (flag.data[0] != 'n' && flag.data[0] != 'y'))
		return SM_INVALID;
	out->authzid = bytes_of(out->authzid_text, 0);
	if (authzid.size && (!value_of(authzid, 'a', &name) || !decode_name(name, out->authzid_text, &out->authzid) || !out->authzid.size))
		return SM_INVALID;
	out->gs2 = bytes_of(begin, (size_t)(rest->data - begin));
	return SM_OK;
}

enum sm_err auth__client_first(struct bytes text, struct auth_client_first *out)
{
	struct bytes rest = text, name;
	*out = (struct auth_client_first){0};
	if (!text.size)
		return SM_INVALID;
	enum sm_err err = gs2_header(&rest, out);
	if (err)
		return err;
	out->bare = rest;
	struct bytes first = next_attribute(&rest);
	if (value_of(first, 'm', &name))
		return SM_UNSUPPORTED;
	struct bytes second = next_attribute(&rest);
	if (!value_of(first, 'n', &name) || !decode_name(name, out->name_text, &out->name) || !out->name.size ||
	    !value_of(second, 'r', &out->nonce) || !printable(out->nonce))
		return SM_INVALID;
	while (rest.size) {
		struct bytes extension = next_attribute(&rest);
		out->token |= bytes_equal(extension, BYTES("tokenauth=true"));
	}
	return SM_OK;
}

enum sm_err auth__client_final(struct bytes text, struct auth_client_final *out)
{
	struct bytes rest = text, last = {0};
	if (!text.size)
		return SM_INVALID;
	struct bytes first = next_attribute(&rest), second = next_attribute(&rest);
	if (!value_of(first, 'c', &out->binding) || !value_of(second, 'r', &out->nonce))
		return SM_INVALID;
	while (rest.size)
		last = next_attribute(&rest);
	if (!last.size || !value_of(last, 'p', &out->proof))
		return SM_INVALID;
	out->without_proof = bytes_of(text.data, (size_t)(last.data - text.data) - 1);
	return SM_OK;
}
