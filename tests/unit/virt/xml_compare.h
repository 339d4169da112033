/* A canonical text of an XML tree: attributes sorted, white space between elements gone, namespaces
 * by URI. Two documents that say the same in the same order have the same text. */
#pragma once

#include <glib.h>
#include <libxml/parser.h>
#include <libxml/tree.h>

static int xml_compare_text(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void xml_canonical_attributes(xmlNode *node, GString *out)
{
    g_autoptr(GPtrArray) items = g_ptr_array_new_with_free_func(g_free);

    for (xmlAttr *attr = node->properties; attr; attr = attr->next) {
        xmlChar *value = xmlNodeListGetString(node->doc, attr->children, 1);

        g_ptr_array_add(items, g_strdup_printf(" %s='%s'", (const char *)attr->name,
                                               value ? (const char *)value : ""));
        xmlFree(value);
    }
    g_ptr_array_sort(items, xml_compare_text);
    for (guint i = 0; i < items->len; i++)
        g_string_append(out, g_ptr_array_index(items, i));
}

/* `skip` names an element to leave out (NULL: none). */
static void xml_canonical_node(xmlNode *node, const char *skip, int depth, GString *out)
{
    g_string_append_printf(out, "%*s<%s%s%s", depth * 2, "",
                           node->ns ? (const char *)node->ns->href : "", node->ns ? ":" : "",
                           (const char *)node->name);
    xml_canonical_attributes(node, out);
    g_string_append(out, ">\n");
    for (xmlNode *child = node->children; child; child = child->next) {
        if (child->type == XML_ELEMENT_NODE) {
            if (!skip || strcmp((const char *)child->name, skip) != 0)
                xml_canonical_node(child, skip, depth + 1, out);
        } else if (child->type == XML_TEXT_NODE && !xmlIsBlankNode(child)) {
            g_string_append_printf(out, "%*s%s\n", depth * 2 + 2, "", (const char *)child->content);
        }
    }
}

static inline char *xml_canonical(const char *text, const char *skip)
{
    xmlDoc *doc = xmlReadMemory(text, (int)strlen(text), "test", NULL,
                                XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    GString *out = g_string_new(NULL);

    if (doc)
        xml_canonical_node(xmlDocGetRootElement(doc), skip, 0, out);
    xmlFreeDoc(doc);
    return g_string_free(out, FALSE);
}
