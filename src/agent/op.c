/* The runner of step tables; see op.h. */
#include "agent/op.h"

#include "util/clock.h"
#include "util/log.h"

static struct {
    OpObserverFn fn; /* [const] after start */
    void *self;
} observer;

void op_set_observer(OpObserverFn fn, void *self)
{
    observer.fn = fn;
    observer.self = self;
}

static void observe(const char *name, const char *step)
{
    g_autofree char *point = NULL;

    if (!observer.fn)
        return;
    point = g_strconcat(name, ".", step, NULL);
    observer.fn(observer.self, point);
}

static void undo_back(const char *name, const OpStep *steps, size_t done, void *op,
                      const DvCtx *ctx)
{
    while (done-- > 0) {
        if (!steps[done].undo)
            continue;
        dv_debug(ctx, "%s: undoing %s", name, steps[done].name);
        steps[done].undo(op);
    }
}

bool op_run(const char *name, const OpStep *steps, size_t count, void *op, const DvCtx *ctx,
            GError **err)
{
    for (size_t i = 0; i < count; i++) {
        int64_t start_ms = dv_now_ms();

        observe(name, steps[i].name);
        if (!steps[i].run(op, err)) {
            undo_back(name, steps, i, op, ctx);
            return false;
        }
        dv_debug(ctx, "%s: %s took %d ms", name, steps[i].name, (int)(dv_now_ms() - start_ms));
    }
    observe(name, "done");
    return true;
}

bool op_run_all(const char *name, const OpStep *steps, size_t count, void *op, const DvCtx *ctx,
                GError **err)
{
    g_autoptr(GError) first = NULL;

    for (size_t i = 0; i < count; i++) {
        g_autoptr(GError) why = NULL;

        observe(name, steps[i].name);
        if (steps[i].run(op, &why))
            continue;
        dv_warning(ctx, "%s: %s: %s", name, steps[i].name, why->message);
        if (!first)
            first = g_steal_pointer(&why);
    }
    observe(name, "done");
    if (!first)
        return true;
    g_propagate_error(err, g_steal_pointer(&first));
    return false;
}
