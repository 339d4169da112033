/* Texts encrypted for the owner of an SSH key, decrypted with the private half. */
#include "util/ssh_key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void append(GByteArray *blob, const void *bytes, size_t length)
{
    guint32 be = GUINT32_TO_BE((guint32)length);

    g_byte_array_append(blob, (const guint8 *)&be, sizeof be);
    g_byte_array_append(blob, bytes, (guint)length);
}

static void append_number(GByteArray *blob, EVP_PKEY *key, const char *name)
{
    BIGNUM *number = NULL;
    g_autofree guchar *bytes = NULL;

    assert_true(EVP_PKEY_get_bn_param(key, name, &number));
    bytes = g_malloc0((gsize)BN_num_bytes(number) + 1); /* a sign byte, as SSH has it */
    BN_bn2bin(number, bytes + 1);
    append(blob, bytes, (size_t)BN_num_bytes(number) + 1);
    BN_free(number);
}

/* The line that authorized_keys would have of it. */
static char *public_line(EVP_PKEY *key)
{
    g_autoptr(GByteArray) blob = g_byte_array_new();
    g_autofree char *text = NULL;

    append(blob, "ssh-rsa", strlen("ssh-rsa"));
    append_number(blob, key, OSSL_PKEY_PARAM_RSA_E);
    append_number(blob, key, OSSL_PKEY_PARAM_RSA_N);
    text = g_base64_encode(blob->data, blob->len);
    return g_strdup_printf("ssh-rsa %s somebody@somewhere\n", text);
}

static char *decrypt(EVP_PKEY *key, const char *base64)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    gsize length = 0;
    g_autofree guchar *sealed = g_base64_decode(base64, &length);
    size_t out_length = 1024;
    char *text = g_malloc0(out_length + 1);

    assert_true(EVP_PKEY_decrypt_init(ctx) > 0);
    assert_true(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) > 0);
    assert_true(EVP_PKEY_decrypt(ctx, (guchar *)text, &out_length, sealed, length) > 0);
    text[out_length] = '\0';
    EVP_PKEY_CTX_free(ctx);
    return text;
}

static void only_the_owner_reads_it(void **state G_GNUC_UNUSED)
{
    EVP_PKEY *key = EVP_RSA_gen(1024);
    g_autofree char *line = public_line(key);
    g_autofree char *sealed = NULL;
    g_autofree char *again = NULL;
    g_autofree char *text = NULL;

    assert_true(dv_ssh_key_is_rsa(line));
    assert_true(dv_ssh_encrypt(line, "pässword", &sealed, NULL));
    assert_true(dv_ssh_encrypt(line, "pässword", &again, NULL));
    assert_string_not_equal(sealed, again); /* the padding is random */
    text = decrypt(key, sealed);
    assert_string_equal(text, "pässword");
    EVP_PKEY_free(key);
}

static void a_text_that_is_too_long_is_refused_unseen(void **state G_GNUC_UNUSED)
{
    EVP_PKEY *key = EVP_RSA_gen(1024);
    g_autofree char *line = public_line(key);
    g_autofree char *sealed = NULL;
    g_autofree char *fits = g_strnfill(117, 'x');
    g_autofree char *too_long = g_strnfill(118, 'x');
    g_autoptr(GError) err = NULL;

    assert_true(dv_ssh_encrypt(line, fits, &sealed, NULL));
    assert_false(dv_ssh_encrypt(line, too_long, &sealed, &err));
    assert_int_equal(err->code, DV_E_BAD_INPUT);
    assert_null(strstr(err->message, "xxx"));
    EVP_PKEY_free(key);
}

static void what_is_no_rsa_key_is_refused(void **state G_GNUC_UNUSED)
{
    static const char *const lines[] = {
        NULL,
        "",
        "ssh-rsa",
        "ssh-rsa ",
        "ssh-rsa !!!!",
        "ssh-rsa AAAAB3NzaC1yc2E=",                 /* ends after its type */
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAA/wE=", /* a number longer than the blob */
        "ssh-rsa /////w==",
        "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAAQE=", /* says it is something else inside */
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXCyKU5Jd2u4zGBD4Yx9hmxrFKGjz4d2hJfyVsq3PNn",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
        g_autofree char *sealed = NULL;
        g_autoptr(GError) err = NULL;

        assert_false(dv_ssh_encrypt(lines[i], "x", &sealed, &err));
        assert_int_equal(err->code, DV_E_BAD_INPUT);
        assert_null(sealed);
    }
    assert_false(dv_ssh_key_is_rsa(NULL));
    assert_false(dv_ssh_key_is_rsa(lines[9]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_owner_reads_it),
        cmocka_unit_test(a_text_that_is_too_long_is_refused_unseen),
        cmocka_unit_test(what_is_no_rsa_key_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
