"""Generation with teacher models: rows that walk their blocks as a stream.

    pipeline = load_flow("full")                                   # flow.pipeline; or a path ending in .yaml
    steps = pipeline.steps(leaf)                                   # the section for the leaf's type
    context = FlowContext(leaf.path, teacher, judge, seed=run.seed)    # flow.context; for a leaf, all rounds
    rows = (source_row(leaf.path, (chunk.id, ...), fields, draw=round_) for ...)    # flow.rows
    async with aclosing(run(rows, steps, context, window=1024)) as stream:          # flow.engine
        async for row in stream:                                   # in the order of `rows`
            row.fields["question"], row.fields["answer"], row.trail, row.verdicts, row.final

`engine.run(source, steps, context, *, window=1024, drain=None, on_failure="drain")` yields FlowRows.
`context.FlowContext(leaf, teacher, judge, seed, on_reject, observe, reply_key)` with `stats`, `rejections`,
`unfinished`; `context.StepContext` is what blocks get: `ask`, `reject`, `extend`, `child`.
`pipeline.load_flow(name) -> FlowPipeline` with `name`, `about`, `steps(leaf) -> tuple[FlowStep, ...]` and
`section(leaf).version`, a hash of all that the leaf's section says, its prompts included.
`fields.SOURCE_FIELDS` lists what source rows hold for each type of leaf.
"""
