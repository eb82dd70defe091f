_base_ = ['./words_cmltnet.py']

model = dict(head=dict(adjustment=dict(_delete_=True, type='IIF', link='smooth', norm='mean')))
