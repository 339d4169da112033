/* RSA with OpenSSL's libcrypto, which librabbitmq brings along; see ssh_key.h. */
#include "util/ssh_key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include <string.h>

#define KEY_TYPE "ssh-rsa"
#define KEY_MAX_BYTES 4096 /* of 16384 bits and more nobody has one */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(BIGNUM, BN_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EVP_PKEY, EVP_PKEY_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EVP_PKEY_CTX, EVP_PKEY_CTX_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(OSSL_PARAM_BLD, OSSL_PARAM_BLD_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(OSSL_PARAM, OSSL_PARAM_free)

bool dv_ssh_key_is_rsa(const char *public_key)
{
    return public_key && g_str_has_prefix(public_key, KEY_TYPE);
}

/* ---- the blob: strings with their lengths before them ---- */

typedef struct Blob {
    const guchar *at;
    gsize left;
} Blob;

static bool blob_string(Blob *blob, const guchar **out, gsize *out_length)
{
    guint32 length;

    if (blob->left < sizeof length)
        return false;
    memcpy(&length, blob->at, sizeof length);
    length = GUINT32_FROM_BE(length);
    if (length > blob->left - sizeof length)
        return false;
    *out = blob->at + sizeof length;
    *out_length = length;
    blob->at += sizeof length + length;
    blob->left -= sizeof length + length;
    return true;
}

static BIGNUM *blob_number(Blob *blob)
{
    const guchar *bytes = NULL;
    gsize length = 0;

    return blob_string(blob, &bytes, &length) ? BN_bin2bn(bytes, (int)length, NULL) : NULL;
}

/* ---- the key ---- */

static EVP_PKEY *key_of_numbers(const BIGNUM *modulus, const BIGNUM *exponent)
{
    g_autoptr(OSSL_PARAM_BLD) build = OSSL_PARAM_BLD_new();
    g_autoptr(OSSL_PARAM) params = NULL;
    g_autoptr(EVP_PKEY_CTX) ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    EVP_PKEY *key = NULL;

    if (!build || !ctx || !OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) ||
        !OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent))
        return NULL;
    params = OSSL_PARAM_BLD_to_param(build);
    if (!params || EVP_PKEY_fromdata_init(ctx) <= 0 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) <= 0)
        return NULL;
    return key;
}

static EVP_PKEY *key_read(const char *public_key, GError **err)
{
    g_auto(GStrv) words = g_strsplit_set(public_key ? public_key : "", " \t\r\n", 3);
    gsize length = 0;
    g_autofree guchar *bytes = NULL;
    g_autoptr(BIGNUM) exponent = NULL;
    g_autoptr(BIGNUM) modulus = NULL;
    const guchar *type = NULL;
    gsize type_length = 0;
    EVP_PKEY *key = NULL;
    Blob blob;

    if (words[0] && strcmp(words[0], KEY_TYPE) == 0 && words[1] &&
        strlen(words[1]) <= KEY_MAX_BYTES)
        bytes = g_base64_decode(words[1], &length);
    blob = (Blob){bytes, bytes ? length : 0};
    if (blob_string(&blob, &type, &type_length) && type_length == strlen(KEY_TYPE) &&
        memcmp(type, KEY_TYPE, type_length) == 0) {
        exponent = blob_number(&blob);
        modulus = exponent ? blob_number(&blob) : NULL;
    }
    if (modulus)
        key = key_of_numbers(modulus, exponent);
    if (!key)
        dv_fail(err, DV_E_BAD_INPUT, "the SSH key is no RSA key that can be read");
    return key;
}

bool dv_ssh_encrypt(const char *public_key, const char *text, char **out_base64, GError **err)
{
    g_autoptr(EVP_PKEY) key = key_read(public_key, err);
    g_autoptr(EVP_PKEY_CTX) ctx = NULL;
    g_autofree guchar *sealed = NULL;
    size_t length = 0;

    if (!key)
        return false;
    ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    if (!ctx || EVP_PKEY_encrypt_init(ctx) <= 0 ||
        EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) <= 0 ||
        EVP_PKEY_encrypt(ctx, NULL, &length, (const guchar *)text, strlen(text)) <= 0)
        return dv_fail(err, DV_E_BAD_INPUT, "the SSH key cannot be used to encrypt");
    sealed = g_malloc(length);
    if (EVP_PKEY_encrypt(ctx, sealed, &length, (const guchar *)text, strlen(text)) <= 0)
        return dv_fail(err, DV_E_BAD_INPUT, "the text is too long for the SSH key");
    *out_base64 = g_base64_encode(sealed, length);
    return true;
}
