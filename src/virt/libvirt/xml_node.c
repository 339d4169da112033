/* Small helpers over libxml2's tree, for writing domain XML and for reading libvirt's answers. */
#include "virt/libvirt/xml_domain.h"

#include <libxml/parser.h>

#define XML_MAX_BYTES (16 * 1024 * 1024)

/* XML 1.0 allows tab, newline, carriage return and everything from space on, except a few
 * code points that GLib already calls invalid or that are no characters. */
static bool is_xml_char(gunichar c)
{
    return c == '\t' || c == '\n' || c == '\r' || (c >= 0x20 && c != 0xFFFE && c != 0xFFFF);
}

static char *clean(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    GString *out = g_string_sized_new(strlen(valid));

    for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);

        g_string_append_unichar(out, is_xml_char(c) ? c : 0xFFFD);
    }
    return g_string_free(out, FALSE);
}

xmlNode *xml_add(xmlNode *parent, const char *name)
{
    return xmlNewChild(parent, NULL, BAD_CAST name, NULL);
}

xmlNode *xml_add_text(xmlNode *parent, const char *name, const char *text)
{
    g_autofree char *value = text ? clean(text) : NULL;

    return value ? xmlNewTextChild(parent, NULL, BAD_CAST name, BAD_CAST value) : NULL;
}

xmlNode *xml_add_u64(xmlNode *parent, const char *name, uint64_t value)
{
    g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT, value);

    return xml_add_text(parent, name, text);
}

void xml_attr(xmlNode *node, const char *name, const char *value)
{
    g_autofree char *text = value ? clean(value) : NULL;

    if (text)
        xmlNewProp(node, BAD_CAST name, BAD_CAST text);
}

void xml_attr_u64(xmlNode *node, const char *name, uint64_t value)
{
    g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT, value);

    xml_attr(node, name, text);
}

void xml_add_number(xmlNode *parent, const char *name, const SpecNumber *number)
{
    g_autofree char *text = g_strdup_printf("%" G_GINT64_FORMAT, number->value);

    xml_add_text(parent, name, number->set ? text : NULL);
}

void xml_attr_number(xmlNode *node, const char *name, const SpecNumber *number)
{
    g_autofree char *text = g_strdup_printf("%" G_GINT64_FORMAT, number->value);

    xml_attr(node, name, number->set ? text : NULL);
}

xmlNode *xml_child(xmlNode *parent, const char *name)
{
    for (xmlNode *node = parent ? xmlFirstElementChild(parent) : NULL; node;
         node = xmlNextElementSibling(node)) {
        if (g_str_equal((const char *)node->name, name))
            return node;
    }
    return NULL;
}

xmlDoc *xml_new(const char *name, xmlNode **out_root)
{
    xmlDoc *doc = xmlNewDoc(BAD_CAST "1.0");

    *out_root = xmlNewNode(NULL, BAD_CAST name);
    xmlDocSetRootElement(doc, *out_root);
    return doc;
}

char *xml_text(xmlDoc *doc)
{
    xmlChar *text = NULL;
    int length = 0;
    char *out;

    xmlDocDumpMemoryEnc(doc, &text, &length, "UTF-8");
    out = g_strdup((const char *)text);
    xmlFree(text);
    return out;
}

char *xml_find(xmlDoc *doc, const char *xpath)
{
    g_autoptr(xmlXPathContext) context = xmlXPathNewContext(doc);
    g_autoptr(xmlXPathObject) found = NULL;
    xmlChar *text;
    char *out;

    if (!context)
        return NULL;
    found = xmlXPathEvalExpression(BAD_CAST xpath, context);
    if (!found || found->type != XPATH_NODESET || xmlXPathNodeSetIsEmpty(found->nodesetval))
        return NULL;
    text = xmlNodeGetContent(found->nodesetval->nodeTab[0]);
    out = g_strdup((const char *)text);
    xmlFree(text);
    return out;
}

xmlDoc *xml_parse(const char *text, const char *what, GError **err)
{
    size_t length = strlen(text);
    xmlDoc *doc = NULL;

    if (length <= XML_MAX_BYTES)
        doc = xmlReadMemory(text, (int)length, what, NULL,
                            XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING |
                                XML_PARSE_NOBLANKS);
    if (!doc)
        dv_fail(err, DV_E_BAD_INPUT, "%s: not XML, or larger than 16 MiB", what);
    return doc;
}
