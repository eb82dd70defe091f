# FASA (arXiv 2102.12867) beside IIF of instance counts: the strongest recipe of IIF's code
fasa_head = dict(
    type='FASABBoxHead',
    adjustment=dict(type='IIF', link='base10', count='instance'),
    fasa=dict(decay=0.1, power=1.0, up=1.1, down=0.9),
    fasa_weight=0.1,
)
# tells FASA the epoch
fasa_hooks = [dict(type='ModuleEpochHook')]
